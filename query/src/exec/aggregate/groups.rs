//! The groups of an aggregation: which series belong together, their columns, and the series that the groups become.

use std::collections::HashMap;

use ahash::RandomState;
use barograph_engine::model::{Labels, METRIC_NAME};

use crate::budget::Budget;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::plan::Aggregate;
use crate::series::label_sets::sorted_names;
use crate::series::{Points, Series, Vector, labels_held};
use crate::steps::Steps;
use crate::syntax::ast::Grouping;
use crate::usage::Footprint;

/// The series of a vector by group. Members are in the order of the vector.
pub(crate) struct Groups {
    /// The labels of each group.
    pub labels: Vec<Labels>,
    /// Whether any member has a name that must be dropped.
    pub drop_name: Vec<bool>,
    /// The indices of each group's members.
    pub members: Vec<Vec<usize>>,
}

/// Bytes of a group without its labels and its key: an entry in a map and in each list, after growth, and its first
/// members.
/// members.
const GROUP: usize = 3 * size_of::<(Vec<u8>, usize)>()
    + 2 * (size_of::<Labels>() + size_of::<bool>() + size_of::<Vec<usize>>())
    + 4 * size_of::<usize>();

impl Groups {
    /// No groups.
    pub fn new() -> Groups {
        Groups { labels: Vec::new(), drop_name: Vec::new(), members: Vec::new() }
    }

    /// Groups `vector`. Groups are in the order of their first member. The memory of their keys is held until the node
    /// is done.
    ///
    /// # Errors
    /// Same as [`Budget::check`] and [`Budget::hold`].
    pub fn of(budget: &Budget, vector: &Vector, grouping: &Grouping) -> Result<Groups, QueryError> {
        let mut groups = Groups::new();
        let keep = GroupKey::of(grouping);
        // There are many members and few groups, so a group is looked up before its labels are built.
        let mut places: HashMap<Vec<u8>, usize, RandomState> = HashMap::default();
        let mut key = Vec::new();
        let mut pace = budget.pace();
        // Lists of members grow to twice their length.
        pace.hold(2 * vector.len() * size_of::<usize>())?;
        for (i, series) in vector.iter().enumerate() {
            pace.labels()?;
            keep.key(&series.labels, &mut key);
            let place = match places.get(&key) {
                Some(place) => *place,
                None => {
                    pace.hold(key.len() + GROUP)?;
                    places.insert(key.clone(), groups.labels.len());
                    groups.add(keep.labels(&series.labels))
                }
            };
            groups.drop_name[place] |= series.drop_name;
            groups.members[place].push(i);
        }
        Ok(groups)
    }

    /// Adds a group and returns its index.
    pub fn add(&mut self, labels: Labels) -> usize {
        self.labels.push(labels);
        self.drop_name.push(false);
        self.members.push(Vec::new());
        self.labels.len() - 1
    }

    /// The footprint of the groups' labels and of one column for each.
    pub fn held(&self, steps: Steps) -> Footprint {
        let labels = self.labels.iter().map(labels_held).fold(Footprint::default(), |a, b| a + b);
        let slots = self.labels.len() as u64 * steps.count as u64;
        labels + Footprint { samples: slots, bytes: slots * size_of::<f64>() as u64 }
    }
}

/// Columns of floats. A member may have only the part of its column in which it has values.
pub(crate) trait Members: Sync {
    /// The step where a member's column begins, and its floats from there on; it is absent
    /// everywhere else.
    fn column(&self, member: usize) -> (usize, &[f64]);

    /// The number of values in all columns, including absent values inside them.
    fn values(&self) -> usize;
}

impl Members for Vector {
    fn column(&self, member: usize) -> (usize, &[f64]) {
        (0, &self[member].points.floats)
    }

    fn values(&self) -> usize {
        self.len() * self.first().map_or(0, |series| series.points.len())
    }
}

/// The labels of a series that identify its group.
pub(crate) struct GroupKey {
    /// The names, sorted.
    names: Vec<String>,
    /// Whether the names are excluded, together with the metric name.
    is_without: bool,
}

impl GroupKey {
    /// The labels that a grouping keeps.
    pub fn of(grouping: &Grouping) -> GroupKey {
        match grouping {
            Grouping::None => GroupKey { names: Vec::new(), is_without: false },
            Grouping::By(names) => GroupKey { names: sorted_names(names), is_without: false },
            Grouping::Without(names) => GroupKey { names: sorted_names(names), is_without: true },
        }
    }

    fn keeps(&self, name: &[u8]) -> bool {
        let is_named = self.names.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok();
        if self.is_without { !is_named && name != METRIC_NAME.as_bytes() } else { is_named }
    }

    /// Writes the key of a series' group to `key`.
    pub fn key(&self, labels: &Labels, key: &mut Vec<u8>) {
        key.clear();
        if self.is_without || !self.names.is_empty() {
            labels.copy_kept(|name| self.keeps(name), key);
        }
    }

    /// The labels of the group of a series.
    pub fn labels(&self, labels: &Labels) -> Labels {
        labels.without(|name| !self.keeps(name.as_bytes()))
    }
}

/// Combines columns with the labels of their groups. Groups without values are left out.
pub(crate) fn assemble(groups: Groups, columns: Vec<Points>) -> Vector {
    groups
        .labels
        .into_iter()
        .zip(groups.drop_name)
        .zip(columns)
        .map(|((labels, drop_name), points)| Series { labels, drop_name, points })
        .filter(|s| s.points.any())
        .collect()
}

/// Adds an info if an aggregation ignores histograms.
pub(crate) fn note_ignored(ev: &mut Evaluator<'_>, aggregate: &Aggregate, vector: &Vector) {
    if vector.iter().any(|s| s.points.histograms.is_some()) {
        let name = crate::functions::aggregates::of(aggregate.op).name;
        ev.annotations.info(aggregate.expr.span, format!("ignored histogram in {name} aggregation"));
    }
}
