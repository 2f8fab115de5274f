//! What an embedding program gets back: errors with their kind and cause.

use std::error::Error as _;

use barograph::{Database, Error, Options, QueryErrorKind, TimeRange};

fn database() -> Database {
    Database::in_memory(Options { background: false, ..Options::default() }).expect("the options are good")
}

#[test]
fn the_error_of_the_engine_is_the_source_of_that_of_a_query() {
    let db = database();
    let error = db.query("sum(up) by (", 0).expect_err("no query");
    assert_eq!((error.kind(), error.source().is_none()), (QueryErrorKind::Parse, true));
    db.close().expect("nothing reads");
    let refused = db.query("up", 0).expect_err("it is closed");
    assert_eq!(refused.kind(), QueryErrorKind::Closed);
    let cause = refused.source().and_then(|cause| cause.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::Closed)), "{cause:?}");
    let read = db.read(&[], TimeRange::ALL, 9, |_, _| true).expect_err("it is closed");
    assert!(read.source().is_some_and(|cause| cause.is::<Error>()), "{read:?}");
}
