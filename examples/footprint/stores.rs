//! The stores that are compared.

use std::path::Path;

use barograph::{Batch, Database, Labels, Options, Timestamp, Value};
use redb::{Database as Redb, TableDefinition};

pub type Failure = Box<dyn std::error::Error>;

const SAMPLES: TableDefinition<(u64, i64), f64> = TableDefinition::new("samples");

/// An open store.
pub trait Store {
    /// Adds samples by series and second; they are on disk when it returns.
    fn append(&self, samples: &[(u64, i64)]) -> Result<(), Failure>;

    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// The kind of a store.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Barograph with default options.
    Default,
    /// Barograph with options for small devices.
    Small,
    Redb,
}

impl Kind {
    pub fn named(name: &str) -> Result<Kind, Failure> {
        match name {
            "default" => Ok(Kind::Default),
            "small" => Ok(Kind::Small),
            "redb" => Ok(Kind::Redb),
            _ => Err(format!("no such store: {name}").into()),
        }
    }

    pub fn open(self, folder: &Path) -> Result<Box<dyn Store>, Failure> {
        let options = match self {
            Kind::Default => Options::default(),
            Kind::Small => Options::small(),
            Kind::Redb => {
                std::fs::create_dir_all(folder)?;
                return Ok(Box::new(Redb::create(folder.join("samples.redb"))?));
            }
        };
        Ok(Box::new(Database::open_with(folder, options)?))
    }
}

impl Store for Database {
    fn append(&self, samples: &[(u64, i64)]) -> Result<(), Failure> {
        let mut batch = Batch::new();
        for (series, second) in samples {
            let number = series.to_string();
            let labels = Labels::from_pairs([("__name__", "footprint"), ("series", number.as_str())])?;
            batch.push(
                &labels,
                Timestamp::from_secs(1_700_000_000 + second),
                Value::Float(*second as f64 / 7.0),
            );
        }
        Ok(Database::append(self, &batch).map(drop)?)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(Database::close(&self)?)
    }
}

impl Store for Redb {
    fn append(&self, samples: &[(u64, i64)]) -> Result<(), Failure> {
        let write = self.begin_write()?;
        {
            let mut table = write.open_table(SAMPLES)?;
            for (series, second) in samples {
                table.insert((*series, *second), *second as f64 / 7.0)?;
            }
        }
        Ok(write.commit()?)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
