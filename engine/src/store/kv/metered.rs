//! A store that reports how many bytes are read from it and written to it.

use std::sync::Arc;

use crate::Result;
use crate::store::kv::{Bulk, Cursor, Family, Table, TableWriter};

/// Receives the sizes of what is read and written.
pub trait Meter: Send + Sync {
    /// Whether sizes matter now. What is opened while they do not reports none.
    fn is_on(&self) -> bool;

    /// This many bytes of keys and values have been read or written. The call may wait.
    fn count(&self, bytes: usize);
}

/// A store whose cursors and table writers report to a [`Meter`]. Blocks are read and written compressed, so the disk
/// transfers fewer bytes than are reported.
pub struct MeteredKv {
    inner: Arc<dyn Bulk>,
    meter: Arc<dyn Meter>,
}

impl MeteredKv {
    /// Reports what is read from `inner` and written to it.
    pub fn new(inner: Arc<dyn Bulk>, meter: Arc<dyn Meter>) -> Self {
        MeteredKv { inner, meter }
    }

    fn metered<'a>(&'a self, inner: Box<dyn Cursor + 'a>) -> Box<dyn Cursor + 'a> {
        if self.meter.is_on() { Box::new(MeteredCursor { inner, meter: &*self.meter }) } else { inner }
    }
}

impl Bulk for MeteredKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.inner.get(family, key)?;
        if let Some(value) = found.as_ref().filter(|_| self.meter.is_on()) {
            self.meter.count(key.len() + value.len());
        }
        Ok(found)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.metered(self.inner.cursor(family))
    }

    fn scan<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.metered(self.inner.scan(family))
    }

    fn probe<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.metered(self.inner.probe(family))
    }

    fn note_damage(&self, key: &[u8], error: &crate::Error) {
        self.inner.note_damage(key, error);
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        let inner = self.inner.table(family)?;
        let is_on = self.meter.is_on();
        Ok(if is_on { Box::new(MeteredWriter { inner, meter: &*self.meter }) } else { inner })
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.inner.ingest(family, tables)
    }
}

struct MeteredCursor<'a> {
    inner: Box<dyn Cursor + 'a>,
    meter: &'a dyn Meter,
}

impl MeteredCursor<'_> {
    fn count(&self) {
        if let Some((key, value)) = self.inner.entry() {
            self.meter.count(key.len() + value.len());
        }
    }
}

impl Cursor for MeteredCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.inner.seek(key)?;
        self.count();
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        self.inner.advance()?;
        self.count();
        Ok(())
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.inner.entry()
    }

    fn note_damage(&self, error: &crate::Error) {
        self.inner.note_damage(error);
    }
}

struct MeteredWriter<'a> {
    inner: Box<dyn TableWriter + 'a>,
    meter: &'a dyn Meter,
}

impl TableWriter for MeteredWriter<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.inner.put(key, value)?;
        self.meter.count(key.len() + value.len());
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn finish(self: Box<Self>) -> Result<Table> {
        self.inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::kv::memory::MemoryKv;

    #[derive(Default)]
    struct Sum(AtomicUsize);

    impl Meter for Sum {
        fn is_on(&self) -> bool {
            true
        }

        fn count(&self, bytes: usize) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_written_and_what_is_read_counts() {
        let sum = Arc::new(Sum::default());
        let kv = MeteredKv::new(Arc::new(MemoryKv::default()), sum.clone());
        let counted = || sum.0.swap(0, Ordering::Relaxed);
        let mut table = kv.table(Family::Chunks).expect("memory");
        for (key, value) in [(b"a", &[0; 10][..]), (b"b", &[1; 20]), (b"c", &[2; 30])] {
            table.put(key, value).expect("ascending");
        }
        kv.ingest(Family::Chunks, vec![table.finish().expect("memory")]).expect("new");
        assert_eq!(counted(), 63);
        let mut cursor = kv.scan(Family::Chunks);
        cursor.seek(b"b").expect("memory");
        assert_eq!(counted(), 21);
        cursor.advance().expect("memory");
        cursor.advance().expect("memory");
        assert_eq!((counted(), cursor.entry().is_none()), (31, true));
        assert_eq!(kv.get(Family::Chunks, b"a").expect("memory"), Some(vec![0; 10]));
        assert_eq!(kv.get(Family::Chunks, b"d").expect("memory"), None);
        assert_eq!(counted(), 11);
    }
}
