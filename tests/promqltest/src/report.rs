//! The results of a run, and how they are printed.

use std::fmt;

/// The outcome of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// The line of the script on which it begins.
    pub line: usize,
    /// Its query.
    pub query: String,
    /// Why it failed, one text for each way of evaluation that failed; empty if it passed.
    pub failures: Vec<String>,
}

impl CaseReport {
    /// Whether every way of evaluation gave the expected answer.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The outcome of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The name of the file, or of the text.
    pub name: String,
    /// Its cases in order.
    pub cases: Vec<CaseReport>,
    /// Why the script could not be read or run to its end. The remaining cases are missing from `cases` and count as
    /// failed.
    pub broken: Option<String>,
    /// The number of cases in the script, as far as it could be read.
    pub total: usize,
}

impl FileReport {
    /// The number of cases that passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.passed()).count()
    }

    /// Whether all cases passed.
    pub fn is_green(&self) -> bool {
        self.broken.is_none() && self.passed() == self.total
    }
}

/// Combines the outcomes of one script over several storages, each under its name: a case passes only if it passes over
/// all of them. `None` means that there is no outcome.
pub fn over_all(outcomes: Vec<(&str, FileReport)>) -> Option<FileReport> {
    let mut all = outcomes.first()?.1.clone();
    all.total = outcomes.iter().map(|(_, report)| report.total).max().unwrap_or(0);
    let longest = outcomes.iter().map(|(_, report)| &report.cases).max_by_key(|cases| cases.len())?;
    all.cases = longest.iter().map(|case| CaseReport { failures: Vec::new(), ..case.clone() }).collect();
    let mut broken = Vec::new();
    for (name, report) in &outcomes {
        broken.extend(report.broken.iter().map(|reason| format!("{name}: {reason}")));
        for (at, case) in all.cases.iter_mut().enumerate() {
            match report.cases.get(at) {
                Some(found) => case.failures.extend(found.failures.iter().map(|f| format!("{name}: {f}"))),
                None => case.failures.push(format!("{name}: not asked, the script stopped before it")),
            }
        }
    }
    all.broken = if broken.is_empty() { None } else { Some(broken.join("; ")) };
    Some(all)
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

/// The last line of a run: `conformance: N of M cases passed`.
pub fn summary(files: &[FileReport]) -> String {
    let passed: usize = files.iter().map(FileReport::passed).sum();
    let total: usize = files.iter().map(|file| file.total).sum();
    format!("conformance: {passed} of {total} cases passed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failures: &[&[&str]], broken: Option<&str>) -> FileReport {
        let case = |(line, failures): (usize, &&[&str])| CaseReport {
            line,
            query: "up".to_owned(),
            failures: failures.iter().map(|f| (*f).to_owned()).collect(),
        };
        FileReport {
            name: "a.test".to_owned(),
            cases: failures.iter().enumerate().map(case).collect(),
            broken: broken.map(str::to_owned),
            total: 3,
        }
    }

    #[test]
    fn a_case_must_pass_over_every_storage() {
        let good = report(&[&[], &[], &[]], None);
        let bad = report(&[&[], &["instant: 1, not 2"], &[]], None);
        let short = report(&[&[]], Some("no space"));
        let both = |a: &FileReport, b: &FileReport| {
            over_all(vec![("memory", a.clone()), ("engine", b.clone())]).unwrap()
        };
        assert!(both(&good, &good).is_green());
        for red in [both(&good, &bad), both(&bad, &good)] {
            assert_eq!((red.passed(), red.total, red.is_green()), (2, 3, false));
        }
        assert_eq!(both(&good, &bad).cases[1].failures, ["engine: instant: 1, not 2"]);
        for red in [both(&good, &short), both(&short, &good)] {
            assert_eq!((red.passed(), red.cases.len()), (1, 3));
            assert!(red.broken.is_some_and(|reason| reason.ends_with(": no space")));
        }
        assert_eq!(over_all(Vec::new()), None);
    }
}
