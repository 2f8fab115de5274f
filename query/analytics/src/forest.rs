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
        let rows = draw(&mut drawn, sample, &mut random);
        tree.clear();
        let mut growth = Growth { row: &row, width, more: 0, note: &mut |_: &[usize]| () };
        grow(&mut tree, rows, &mut growth, depth_max, &mut random);
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

/// A grown forest, which scores rows that it was not grown from as if they were added to each tree: a row outside of the
/// rows of a node is separated there if the cut falls between them, which has a known probability. A plain tree only has
/// cuts among its own rows and cannot separate what is beyond all of them.
#[derive(Debug, Clone)]
pub(crate) struct Forest<const WIDTH: usize> {
    trees: Vec<Vec<(Node, Extent<WIDTH>)>>,
    usual: f64,
}

/// The least and the greatest number of each feature.
type Extent<const WIDTH: usize> = [(f64, f64); WIDTH];

impl<const WIDTH: usize> Forest<WIDTH> {
    /// The memory that a forest takes.
    pub fn bytes(options: &Options) -> usize {
        options.trees * 2 * options.sample * size_of::<(Node, Extent<WIDTH>)>()
    }

    /// Grows a forest from rows of finite numbers. A row that is added later and is beyond others by no more than the
    /// margin of a feature is among them. The random numbers are the same in every run.
    pub fn grow(rows: &[[f64; WIDTH]], margins: &[f64; WIDTH], options: &Options) -> Forest<WIDTH> {
        let sample = options.sample.min(rows.len());
        let depth_max = (sample.max(2) as f64).log2().ceil() as usize;
        let mut random = Random(0);
        let mut drawn: Vec<usize> = (0..rows.len()).collect();
        let (mut tree, mut extents) = (Vec::new(), Vec::new());
        let mut trees = Vec::with_capacity(options.trees);
        for _ in 0..options.trees {
            tree.clear();
            extents.clear();
            let mut note = |of: &[usize]| {
                extents.push(std::array::from_fn(|feature| {
                    let (low, high) = extent(of.iter().map(|&i| rows[i][feature]));
                    (low - margins[feature], high + margins[feature])
                }));
            };
            let drawn = draw(&mut drawn, sample, &mut random);
            let mut growth = Growth { row: &|i: usize| &rows[i][..], width: WIDTH, more: 1, note: &mut note };
            grow(&mut tree, drawn, &mut growth, depth_max, &mut random);
            trees.push(tree.iter().copied().zip(extents.iter().copied()).collect());
        }
        Forest { trees, usual: usual_depth((sample + 1) as f64) * options.trees as f64 }
    }

    /// The score of a row of finite numbers, from 0 to 1.
    pub fn score(&self, row: &[f64; WIDTH]) -> f64 {
        let depths: f64 = self.trees.iter().map(|tree| expected_depth(tree, row)).sum();
        (-depths / self.usual).exp2()
    }
}

/// The least and the greatest of some numbers.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// The expected number of cuts until an added row is alone.
fn expected_depth<const WIDTH: usize>(tree: &[(Node, Extent<WIDTH>)], row: &[f64; WIDTH]) -> f64 {
    // The probability that no cut has separated the row, and the depth so far.
    let (mut together, mut depth, mut node) = (1.0, 0.0, 0);
    loop {
        let (here, extent) = &tree[node];
        let separation = separation(extent, row);
        match *here {
            Node::Leaf(more) => return depth + together * (separation + (1.0 - separation) * more),
            Node::Cut { feature, at, right } => {
                depth += together;
                together *= 1.0 - separation;
                node = if row[feature] < at { node + 1 } else { right };
            }
        }
    }
}

/// The probability that a random cut separates a row from all others, given their extent. Features are equally likely,
/// except those in which all are equal.
fn separation<const WIDTH: usize>(extent: &Extent<WIDTH>, row: &[f64; WIDTH]) -> f64 {
    let (mut sum, mut features) = (0.0, 0.0);
    for (&(low, high), value) in extent.iter().zip(row) {
        // Halves, because the distance of two finite numbers may be infinite.
        let beyond = (low / 2.0 - value / 2.0).max(value / 2.0 - high / 2.0).max(0.0);
        let all = high / 2.0 - low / 2.0 + beyond;
        if all > 0.0 {
            features += 1.0;
            sum += beyond / all;
        }
    }
    if features > 0.0 { sum / features } else { 0.0 }
}

/// Draws a sample without repetition: the beginning of a shuffle.
fn draw<'d>(all: &'d mut [usize], sample: usize, random: &mut Random) -> &'d mut [usize] {
    for i in 0..sample {
        let other = i + random.below(all.len() - i);
        all.swap(i, other);
    }
    &mut all[..sample]
}

/// What a tree is grown from.
struct Growth<'g, R, N> {
    row: &'g R,
    width: usize,
    /// Rows that are added to a leaf later.
    more: usize,
    /// Sees the rows of each node.
    note: &'g mut N,
}

/// Grows the subtree of some rows at the end of the list of nodes; its depth is limited, so that recursion is.
fn grow<'t, R: Fn(usize) -> &'t [f64], N: FnMut(&[usize])>(
    tree: &mut Vec<Node>,
    rows: &mut [usize],
    growth: &mut Growth<'_, R, N>,
    depth: usize,
    random: &mut Random,
) {
    (growth.note)(rows);
    let (row, width) = (growth.row, growth.width);
    let first = random.below(width);
    let cut = (0..width).map(|i| (first + i) % width).find_map(|feature| {
        let (low, high) = extent(rows.iter().map(|&i| row(i)[feature]));
        (low < high).then_some((feature, low, high))
    });
    let Some((feature, low, high)) = cut.filter(|_| depth > 0 && rows.len() > 1) else {
        tree.push(Node::Leaf(usual_depth((rows.len() + growth.more) as f64)));
        return;
    };
    // The distance of two finite numbers, and a part of it, may be infinite.
    let at = 2.0_f64.mul_add((high / 2.0 - low / 2.0) * random.unit(), low);
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
    grow(tree, below, growth, depth - 1, random);
    let right = tree.len();
    tree[node] = Node::Cut { feature, at, right };
    grow(tree, above, growth, depth - 1, random);
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
    fn a_row_beyond_all_others_is_separated_at_once() {
        let mut random = Random(7);
        let rows: Vec<[f64; 2]> = (0..500).map(|_| [random.unit(), random.unit()]).collect();
        let forest = Forest::grow(&rows, &[0.0; 2], &Options::default());
        let usual: Vec<f64> = rows.iter().map(|row| forest.score(row)).collect();
        let mean = usual.iter().sum::<f64>() / 500.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
        let highest = usual.iter().copied().fold(0.0, f64::max);
        let [near, far, farther] = [1.2, 3.0, 1e9].map(|x| forest.score(&[x, 0.5]));
        assert!(highest < far && near < far && far < farther, "{highest} {near} {far} {farther}");
        // Half of the cuts are in the other feature.
        let both = forest.score(&[1e9, -1e9]);
        assert!(farther > 0.7 && both > 0.9, "{farther} {both}");
        assert!(forest.score(&[f64::MAX, f64::MIN]) <= 1.0);
    }

    #[test]
    fn an_added_row_is_as_deep_as_one_that_was_there() {
        let leaf = |more, extent| (Node::Leaf(more), [extent]);
        let cut = (Node::Cut { feature: 0, at: 5.0, right: 2 }, [(0.0, 10.0)]);
        let tree = [cut, leaf(1.0, (0.0, 2.0)), leaf(3.0, (6.0, 10.0))];
        assert_eq!(expected_depth(&tree, &[2.0]), 2.0);
        assert_eq!(expected_depth(&tree, &[7.0]), 4.0);
        // Half of the numbers between the row and the farthest other one separate it, and 10 of 14 in the leaf.
        let in_leaf = 10.0 / 14.0 + 4.0 / 14.0 * 3.0;
        assert_eq!(expected_depth(&tree, &[20.0]), 1.0 + 0.5 * in_leaf);
        assert_eq!(separation(&[(3.0, 3.0), (0.0, 2.0)], &[3.0, 4.0]), 0.5);
        assert_eq!(separation(&[(3.0, 3.0)], &[3.0]), 0.0);
        // Equal rows are a single leaf.
        let forest = Forest::grow(&[[5.0]; 300], &[0.1], &Options::default());
        let [inside, beyond] = [5.05, 9.0].map(|value| forest.score(&[value]));
        assert!((inside - 0.5).abs() < 1e-3 && beyond > 0.9, "{inside} {beyond}");
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
