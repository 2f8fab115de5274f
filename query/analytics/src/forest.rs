//! Isolation forests (Liu, Ting and Zhou, 2008): how few random cuts separate a row of numbers from the others.

use crate::{Check, Error, Pace, Unfit};

/// The least number of rows.
pub const LEAST: usize = 64;

/// How a forest is grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Trees.
    pub trees: usize,
    /// Rows that each tree is grown from.
    pub sample: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { trees: 100, sample: 256 }
    }
}

/// A node of a tree: a cut, or the number of rows that were left.
#[derive(Debug, Clone, Copy)]
enum Node {
    Cut { feature: usize, at: f64, right: usize },
    Leaf(f64),
}

/// The memory that [`scores`] takes.
pub fn bytes(rows: usize, options: &Options) -> usize {
    rows * (size_of::<f64>() + size_of::<usize>()) + 2 * options.sample * size_of::<Node>()
}

/// The score of each row, from 0 to 1: about 0.5 for an ordinary one, near 1 for one that is separated at once.
///
/// `table` holds the rows one after another, each of `width` numbers. Rows with a number that is not finite are not
/// used and have the score NaN, and so have the rows before `from`, which the forest is grown from as well. The random
/// numbers are the same in every run.
///
/// # Errors
/// Fewer than [`LEAST`] rows, and a stop by the caller.
pub fn scores(
    table: &[f64],
    width: usize,
    from: usize,
    options: &Options,
    check: Check<'_>,
) -> Result<Vec<f64>, Error> {
    let mut pace = Pace::new(check);
    let width = width.max(1);
    let row = |i: usize| &table[i * width..(i + 1) * width];
    let count = table.len() / width;
    let whole: Vec<usize> = (0..count).filter(|&i| row(i).iter().all(|value| value.is_finite())).collect();
    if whole.len() < LEAST {
        return Err(Unfit::TooShort { has: whole.len(), needs: LEAST }.into());
    }
    let scored = &whole[whole.partition_point(|&i| i < from)..];
    let sample = options.sample.clamp(2, whole.len());
    let depth_max = (sample as f64).log2().ceil() as usize;
    let mut depths = vec![0.0; count];
    let mut random = Random(0);
    let mut drawn = whole.clone();
    let mut tree = Vec::new();
    for _ in 0..options.trees.max(1) {
        pace.work(40 * sample * width + 10 * scored.len() * depth_max)?;
        // The beginning of a shuffle is a sample without repetition.
        for i in 0..sample {
            let other = i + random.below(drawn.len() - i);
            drawn.swap(i, other);
        }
        tree.clear();
        grow(&mut tree, &mut drawn[..sample], &row, width, depth_max, &mut random);
        for &i in scored {
            depths[i] += depth(&tree, row(i));
        }
    }
    let usual = usual_depth(sample as f64) * options.trees.max(1) as f64;
    let mut scores = vec![f64::NAN; count];
    for &i in scored {
        scores[i] = (-depths[i] / usual).exp2();
    }
    Ok(scores)
}

/// Grows the subtree of some rows at the end of the list of nodes; its depth is limited, so that recursion is.
fn grow<'t>(
    tree: &mut Vec<Node>,
    rows: &mut [usize],
    row: &impl Fn(usize) -> &'t [f64],
    width: usize,
    depth: usize,
    random: &mut Random,
) {
    let range = |feature: usize, rows: &[usize]| {
        let values = rows.iter().map(|&i| row(i)[feature]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let first = random.below(width);
    let cut = (0..width).map(|i| (first + i) % width).find_map(|feature| {
        let (low, high) = range(feature, rows);
        (low < high).then_some((feature, low, high))
    });
    let Some((feature, low, high)) = cut.filter(|_| depth > 0 && rows.len() > 1) else {
        tree.push(Node::Leaf(usual_depth(rows.len() as f64)));
        return;
    };
    let at = low + (high / 2.0 - low / 2.0) * 2.0 * random.unit();
    let at = if at > low && at <= high { at } else { high };
    let mut left = 0;
    for i in 0..rows.len() {
        if row(rows[i])[feature] < at {
            rows.swap(left, i);
            left += 1;
        }
    }
    let (below, above) = rows.split_at_mut(left);
    let node = tree.len();
    tree.push(Node::Leaf(0.0));
    grow(tree, below, row, width, depth - 1, random);
    let right = tree.len();
    tree[node] = Node::Cut { feature, at, right };
    grow(tree, above, row, width, depth - 1, random);
}

/// The number of cuts until the row is alone, including the expected number for the rows that remain with it.
fn depth(tree: &[Node], row: &[f64]) -> f64 {
    let (mut node, mut depth) = (0, 0.0);
    loop {
        match tree[node] {
            Node::Leaf(more) => return depth + more,
            Node::Cut { feature, at, right } => {
                node = if row[feature] < at { node + 1 } else { right };
                depth += 1.0;
            }
        }
    }
}

/// The mean depth of a search in a binary tree of `n` rows.
fn usual_depth(n: f64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if n > 2.0 {
        2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n
    } else if n == 2.0 {
        1.0
    } else {
        0.0
    }
}

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two numbers near a circle, and one in its middle.
    fn table() -> Vec<f64> {
        let mut random = Random(7);
        let mut table: Vec<f64> = (0..400)
            .flat_map(|_| {
                let (sin, cos) = (random.unit() * std::f64::consts::TAU).sin_cos();
                [sin + 0.05 * random.unit(), cos + 0.05 * random.unit()]
            })
            .collect();
        table.extend([3.0, -3.0]);
        table
    }

    #[test]
    fn a_row_apart_has_the_highest_score() {
        let scores = scores(&table(), 2, 0, &Options::default(), &mut || Ok(())).unwrap();
        let highest = scores[..400].iter().copied().fold(0.0, f64::max);
        assert!(scores[400] > 0.75 && scores[400] > highest + 0.1, "{} {highest}", scores[400]);
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
    }

    #[test]
    fn the_result_is_the_same_in_every_run() {
        let once = scores(&table(), 2, 0, &Options::default(), &mut || Ok(())).unwrap();
        let again = scores(&table(), 2, 0, &Options::default(), &mut || Ok(())).unwrap();
        assert_eq!(once, again);
    }

    #[test]
    fn rows_with_gaps_equal_rows_and_few_rows() {
        let mut table = table();
        table[10] = f64::NAN;
        let got = scores(&table, 2, 0, &Options::default(), &mut || Ok(())).unwrap();
        assert!(got[5].is_nan() && got[6].is_finite());
        let equal = scores(&[4.0; 200], 1, 0, &Options::default(), &mut || Ok(())).unwrap();
        assert!(equal.iter().all(|score| (score - 0.5).abs() < 0.2), "{:?}", &equal[..3]);
        let last = scores(&table, 2, 400, &Options::default(), &mut || Ok(())).unwrap();
        assert!(last[..400].iter().all(|score| score.is_nan()) && last[400] == got[400]);
        let few = scores(&[1.0; 20], 1, 0, &Options::default(), &mut || Ok(()));
        assert_eq!(few, Err(Unfit::TooShort { has: 20, needs: 64 }.into()));
        let extremes: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1e308 } else { -1e308 }).collect();
        assert!(scores(&extremes, 1, 0, &Options::default(), &mut || Ok(())).is_ok());
        let stopped = scores(&table, 2, 0, &Options::default(), &mut || Err(crate::Stop));
        assert_eq!(stopped, Err(Error::Stopped));
    }
}
