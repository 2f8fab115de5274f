//! What a run found out, and how it is printed.

use std::fmt;

/// The outcome of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// The line of the script it begins on.
    pub line: usize,
    /// Its query.
    pub query: String,
    /// Why it failed, one text for each way that did; empty when it passed.
    pub failures: Vec<String>,
}

impl CaseReport {
    /// Whether every way of asking gave the expected answer.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The outcome of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file's name, or what stands for it.
    pub name: String,
    /// Its cases in order.
    pub cases: Vec<CaseReport>,
    /// Why the script could not be read or run to its end. The cases after that are missing
    /// from `cases` and count as failed.
    pub broken: Option<String>,
    /// How many cases the script has, as far as it could be read.
    pub total: usize,
}

impl FileReport {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.passed()).count()
    }

    /// Whether all did.
    pub fn is_green(&self) -> bool {
        self.broken.is_none() && self.passed() == self.total
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed();
        write!(f, "{}: {passed} passed, {} failed", self.name, self.total - passed)?;
        if let Some(broken) = &self.broken {
            write!(f, "\n  stopped: {broken}")?;
        }
        for case in self.cases.iter().filter(|case| !case.passed()) {
            write!(f, "\n  {}:{}: {}", self.name, case.line, case.query)?;
            for failure in &case.failures {
                write!(f, "\n    {failure}")?;
            }
        }
        Ok(())
    }
}

/// The line that ends a run: `conformance: N of M cases passed`.
pub fn summary(files: &[FileReport]) -> String {
    let passed: usize = files.iter().map(FileReport::passed).sum();
    let total: usize = files.iter().map(|file| file.total).sum();
    format!("conformance: {passed} of {total} cases passed")
}
