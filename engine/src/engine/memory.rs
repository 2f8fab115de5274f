//! The parts of the engine's memory and their use.

use crate::budget::Part;
use crate::engine::Engine;
use crate::options::PARTS;
use crate::wal::Wal;

/// A part of the engine's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartUse {
    /// The part.
    pub part: &'static Part,
    /// Its limit, bytes.
    pub limit: u64,
    /// Its current use, bytes; flushes and merges are not counted.
    pub used: Option<u64>,
}

impl Engine {
    /// The parts of [`Options::memory_bytes`](crate::Options::memory_bytes), as [`PARTS`] lists them.
    pub fn memory(&self) -> Vec<PartUse> {
        let shared = &self.shared;
        let head = &shared.head;
        let used = |part: &Part| match part.name {
            _ if !self.is_usable() => None,
            "samples" => Some(head.sample_bytes()),
            "series" => Some(head.series_bytes()),
            "block_cache" => Some(shared.versions.kv().stats().cache_bytes),
            "line_cache" => Some(shared.writer.known().lines().bytes()),
            "remote_cache" => Some(shared.writer.known().remotes().bytes()),
            "notes" => Some(head.exemplars.bytes() + head.metadata.bytes()),
            "batches" => Some(shared.admission.batches().used()),
            "log" => Some(shared.writer.log().map_or(0, Wal::waiting_bytes)),
            _ => None,
        };
        let bytes = shared.options.memory_bytes;
        PARTS.iter().map(|part| PartUse { part, limit: part.of(bytes), used: used(part) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Labels, Value};
    use crate::{Batch, Engine, Options};

    #[test]
    fn each_part_says_what_it_holds() {
        let options = Options { background: false, memory_bytes: 64 << 20, ..Options::default() };
        let engine = Engine::in_memory(options).expect("the options are good");
        let mut batch = Batch::new();
        batch.push(&Labels::from_pairs([("__name__", "up")]).expect("a name"), 1, Value::Float(1.0));
        engine.append(&batch).expect("append");
        let memory = engine.memory();
        let used = |name: &str| memory.iter().find(|of| of.part.name == name).map(|of| of.used);
        assert!(used("samples") > Some(Some(0)) && used("series") > Some(Some(0)));
        let without: Vec<_> = memory.iter().filter(|of| of.used.is_none()).map(|of| of.part.name).collect();
        assert_eq!(without, ["work"], "only this is not counted");
        assert!(memory.iter().map(|of| of.limit).sum::<u64>() <= 64 << 20);
    }
}
