//! What buckets are computed from: raw samples, or the buckets of a narrower tier.

use std::sync::Arc;

use super::TierJob;
use super::write::{Ids, Take, are_heavy, take_stored};
use crate::Result;
use crate::budget::Work;
use crate::chunk::Run;
use crate::chunk::pieces::PieceMerge;
use crate::compact::Compactor;
use crate::compact::samples::GroupSources;
use crate::index::{PostingsSource, select};
use crate::model::{DuplicateRules, Labels, Matcher, Resolution, RuleOf, TierId, TimeRange, Timestamp};
use crate::rollup::{Bucket, Builder, Columns, Extras, Fold};
use crate::store::catalogue::{Catalogue, Generation, Tombstone};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::{GenerationReader, fold_run};
use crate::store::kv::Bulk;

/// The generations of a span from which buckets are computed.
pub(super) struct Source<'kv> {
    kv: &'kv dyn Bulk,
    catalogue: Catalogue,
    pub generations: Vec<Arc<Generation>>,
    tombstones: Vec<Arc<Tombstone>>,
    /// The tier that they belong to, if they hold buckets.
    finer: Option<Resolution>,
    resolution: Resolution,
    extras: Extras,
    cursors: ChunkCursors<'kv>,
    duplicates: DuplicateRules,
    merge: PieceMerge,
    run: Run,
    /// Memory for the buckets of one label set.
    folded: Vec<Bucket>,
}

impl<'kv> Source<'kv> {
    /// A source of buckets of a tier that end in `span`, from raw samples or from the tier `finer`.
    pub(super) fn new(
        compactor: &Compactor<'kv>,
        catalogue: &Catalogue,
        finer: Option<Resolution>,
        job: &TierJob,
        span: TimeRange,
    ) -> Self {
        let kv = compactor.kv;
        let tier = finer.map_or(TierId::RAW, |finer| TierId::of(0, finer));
        let partitions = catalogue.generations.partitions_in(tier, span, catalogue.layout());
        let generations: Vec<_> =
            partitions.flat_map(|partition| partition.generations.iter().cloned()).collect();
        let concerns = |t: &&Arc<Tombstone>| generations.iter().any(|g| t.concerns(&g.record));
        let tombstones = match finer {
            None => catalogue.tombstones.iter().filter(concerns).cloned().collect(),
            // Its buckets are without them.
            Some(_) => Vec::new(),
        };
        Source {
            kv,
            catalogue: catalogue.clone(),
            generations,
            tombstones,
            finer,
            resolution: job.resolution,
            extras: job.extras,
            cursors: ChunkCursors::scanning(kv),
            duplicates: compactor.duplicates.clone(),
            merge: PieceMerge::default(),
            run: Run::default(),
            folded: Vec::new(),
        }
    }

    /// Passes on the buckets of a series that end in `span`, whose ends are bounds of buckets.
    pub(super) fn read(
        &mut self,
        labels: &Labels,
        ids: &[u64],
        span: TimeRange,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let span = TimeRange::new(span.start.max(self.whole_from(labels)), span.end);
        self.folded.clear();
        match self.finer {
            _ if span.is_empty() => Ok(()),
            None => self.fold_samples(labels, ids, span, take),
            Some(_) => self.fold_buckets(ids, span, take),
        }
    }

    /// The start of the first bucket of a series of which nothing has been dropped for it alone.
    pub(super) fn whole_from(&self, labels: &Labels) -> Timestamp {
        let tier = self.finer.map_or(TierId::RAW, |finer| TierId::of(0, finer));
        self.resolution.ceil(self.catalogue.trimmed(tier, labels))
    }

    fn fold_samples(
        &mut self,
        labels: &Labels,
        ids: &[u64],
        span: TimeRange,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let hiding = self.tombstones.iter().filter(|t| t.matches(labels)).map(|t| &**t).collect();
        let mut builder = Builder::new(self.resolution.width_ns(), self.extras);
        let mut sources = GroupSources::within(span, &self.generations, hiding, ids, &mut self.cursors);
        let rule = RuleOf::new(&self.duplicates, labels);
        self.merge.begin(&mut sources)?;
        self.run.clear();
        while self.merge.next(&mut sources, || rule.get(), &mut self.run)? {
            fold_run(&mut builder, &self.run, 0, &mut self.folded);
            if !self.run.histograms.is_empty() && are_heavy(&self.folded) {
                take(&mut self.folded)?;
            }
            self.run.clear();
        }
        builder.finish(&mut self.folded);
        take(&mut self.folded)
    }

    fn fold_buckets(&mut self, ids: &[u64], span: TimeRange, take: &mut Take<'_>) -> Result<()> {
        let (mut fold, folded) = (Fold::new(self.resolution.width_ns()), &mut self.folded);
        for of_partition in self.generations.chunk_by(|a, b| a.prefix.partition == b.prefix.partition) {
            take_stored(&mut self.cursors, of_partition, ids, span, Columns::ALL, &mut |fine| {
                // The samples of one that is omitted are gone, or the samples would be the source.
                let stored = fine.drain(..).filter(|bucket| !bucket.omitted);
                stored.for_each(|bucket| fold.push(bucket, folded));
                if are_heavy(folded) { take(folded) } else { Ok(()) }
            })?;
        }
        fold.finish(folded);
        take(folded)
    }

    /// The ids of a label set in the generations.
    pub(super) fn ids_of(&self, labels: &Labels) -> Result<Ids> {
        let matchers: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
        let mut ids = Ids::new();
        for generation in &self.generations {
            let reader = GenerationReader::new(self.kv, generation);
            for id in select(&reader, &matchers, &Work::unbounded())? {
                if reader.labels(id)?.is_some_and(|found| found == *labels) {
                    ids.push(id);
                }
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}
