//! Merges the indexes of generations, record by record and pair by pair, so that memory does not grow with the number
//! of series.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::Result;
use crate::budget::Work;
use crate::index::merge::{PairMerge, PairSource};
use crate::index::{PostingsSource, PostingsUnion, TermWalk};
use crate::model::{Labels, SeriesId};
use crate::store::catalogue::Generation;
use crate::store::generation::{GenerationReader, GenerationWriter};
use crate::store::iterators::StoredSeries;
use crate::store::kv::Bulk;

/// The series records of several generations, ascending by id, each id once.
pub(super) struct SeriesMerge<'a> {
    sources: Vec<StoredSeries<'a>>,
    /// The current item of each source.
    fronts: Vec<Option<Labels>>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'a> SeriesMerge<'a> {
    pub(super) fn new(kv: &'a dyn Bulk, generations: &'a [Arc<Generation>]) -> Result<Self> {
        let sources = generations.iter().map(|generation| GenerationReader::new(kv, generation).records());
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let fronts = sources.iter().map(|_| None).collect();
        let mut merge = SeriesMerge { sources, fronts, heap: BinaryHeap::new() };
        (0..merge.sources.len()).try_for_each(|at| merge.advance(at))?;
        Ok(merge)
    }

    fn advance(&mut self, at: usize) -> Result<()> {
        if let Some((id, labels)) = self.sources[at].next()? {
            self.heap.push(Reverse((id.0, at)));
            self.fronts[at] = Some(labels);
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<(SeriesId, Labels)>> {
        let Some(Reverse((id, at))) = self.heap.pop() else { return Ok(None) };
        let labels = self.fronts[at].take().expect("what is in the heap has a front");
        self.advance(at)?;
        while let Some(&Reverse((other, at))) = self.heap.peek()
            && other == id
        {
            self.heap.pop();
            self.advance(at)?;
        }
        Ok(Some((SeriesId(id), labels)))
    }
}

/// Writes the postings of all generations, except for the ids in `gone`.
pub(super) fn merge_postings(
    kv: &dyn Bulk,
    generations: &[Arc<Generation>],
    gone: &RoaringTreemap,
    writer: &mut GenerationWriter<'_, '_>,
) -> Result<()> {
    let readers: Vec<_> = generations.iter().map(|g| GenerationReader::new(kv, g)).collect();
    let sources = readers.iter().map(|reader| Ok(Box::new(reader.pairs()?) as Box<dyn PairSource>));
    let mut merge = PairMerge::new(sources.collect::<Result<_>>()?)?;
    let mut name = String::new();
    while let Some(pair) = merge.next_pair()? {
        if pair.name != name {
            name.clone_from(&pair.name);
            // Its key sorts before those of the values.
            if let Some(having) = having(&readers, &name)? {
                write(writer, &name, "", having - gone)?;
            }
        }
        let value = pair.value.clone();
        write(writer, &name, &value, pair.union()? - gone)?;
    }
    Ok(())
}

fn write(writer: &mut GenerationWriter<'_, '_>, name: &str, value: &str, ids: RoaringTreemap) -> Result<()> {
    if ids.is_empty() { Ok(()) } else { writer.add_postings(name, value, &ids) }
}

/// The series that have a label; `None` if no generation has such postings.
fn having(readers: &[GenerationReader<'_>], name: &str) -> Result<Option<RoaringTreemap>> {
    let (mut all, mut is_kept, work) = (PostingsUnion::default(), false, Work::unbounded());
    for reader in readers {
        match reader.having(name)? {
            Some(having) => {
                all.add(having);
                is_kept = true;
            }
            None => reader.walk(name, &mut TermWalk::new(None, u64::MAX, &work), &mut all)?,
        }
    }
    Ok(is_kept.then(|| all.finish()))
}
