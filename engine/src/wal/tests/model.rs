//! Random lives of a log against a list of its records.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8, Vec<u8>),
    Sync,
    Rotate,
    /// Rotates and deletes what came before.
    Cut,
    /// Closes and opens.
    Reopen,
    /// Opens again without closing.
    Crash,
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..=KIND_MAX, prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(kind, bytes)| Step::Append(kind, bytes)),
        3 => Just(Step::Sync),
        1 => Just(Step::Rotate),
        1 => Just(Step::Cut),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Copy),
    ]
}

struct Life {
    dir: tempfile::TempDir,
    wal: Option<Wal>,
    records: Vec<Owned>,
    synced: usize,
    flushed: u64,
}

impl Life {
    fn open(&mut self) {
        let fs = Arc::new(FaultyFs::sound());
        let (wal, replayed, report) =
            open_on(fs, &self.dir.path().join("log"), options(1 << 10), Recovery::Refuse, self.flushed)
                .unwrap();
        assert_eq!(report.damage, []);
        let first = self.flushed as usize;
        assert!(replayed.len() + first >= self.synced);
        self.records.truncate(first + replayed.len());
        assert_eq!(replayed, self.records[first..]);
        self.synced = self.records.len();
        assert_eq!(wal.last_seq(), self.records.len() as u64);
        self.wal = Some(wal);
    }

    fn take(&mut self, step: Step, at: usize) {
        let wal = self.wal.take().unwrap();
        match step {
            Step::Append(kind, bytes) => {
                let seq = wal.append(kind, &[&bytes]).unwrap();
                self.records.push((seq, kind, bytes));
            }
            Step::Sync => {
                wal.sync_to(wal.last_seq()).unwrap();
                self.synced = self.records.len();
            }
            Step::Rotate => assert_eq!(wal.rotate().unwrap(), self.records.len() as u64),
            Step::Cut => {
                self.flushed = wal.rotate().unwrap();
                wal.truncate_to(self.flushed).unwrap();
                self.synced = self.records.len();
                assert_eq!(wal.size_bytes(), 0);
            }
            Step::Copy => {
                let dest = self.dir.path().join(format!("copy-{at}"));
                let seq = self.flushed + (wal.last_seq() - self.flushed) / 2;
                wal.copy_to(&dest, seq).unwrap();
                let (_, copied, _) = try_open(&dest, Recovery::Refuse, self.flushed).unwrap();
                assert_eq!(copied, self.records[self.flushed as usize..seq as usize]);
                self.synced = self.synced.max(seq as usize);
            }
            Step::Reopen => {
                wal.close().unwrap();
                self.synced = self.records.len();
                return self.open();
            }
            Step::Crash => {
                drop(wal);
                return self.open();
            }
        }
        self.wal = Some(wal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_log_is_the_list_of_its_records(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut life = Life { dir, wal: None, records: Vec::new(), synced: 0, flushed: 0 };
        life.open();
        for (at, step) in steps.into_iter().enumerate() {
            life.take(step, at);
        }
        drop(life.wal.take());
        life.open();
    }

    #[test]
    fn any_bytes_in_place_of_a_segment_are_survived(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..3000),
        keep in 0..300_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _) = open(dir.path());
        for at in 0..5 {
            put(&wal, at, &[at; 20]);
        }
        drop(wal);
        let path = dir.path().join("00000001.wal");
        let mut content = std::fs::read(&path).unwrap();
        content.truncate(keep);
        content.extend(bytes);
        std::fs::write(&path, content).unwrap();
        verify(dir.path()).unwrap();
        let refused = try_open(dir.path(), Recovery::Refuse, 0).map(|(_, records, _)| records.len());
        prop_assert!(matches!(refused, Ok(5) | Err(Error::Corrupt { .. })), "{refused:?}");
        let (_, records, _) = try_open(dir.path(), Recovery::Skip, 0).unwrap();
        for (seq, kind, payload) in records {
            prop_assert_eq!((seq, payload), (u64::from(kind) + 1, vec![kind; 20]));
        }
    }
}
