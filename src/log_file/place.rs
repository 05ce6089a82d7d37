//! Where an attempt's log lies. Only checked names and numbers make a path, so no request can leave the directory.
//! Must not touch the disk.

use std::path::{Path, PathBuf};

use hortator_core::id::{Name, RunId};

/// An attempt as people name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    pub namespace: Name,
    pub workflow: Name,
    pub run: RunId,
    pub task: Name,
    /// Of a `foreach`.
    pub item: Option<u32>,
    pub attempt: u16,
}

impl LogId {
    /// `<task>[_<item>].<attempt>`: names hold neither `_` nor `.`, so no two attempts of a run share one.
    pub fn stem(&self) -> String {
        match self.item {
            Some(item) => format!("{}_{item}.{}", self.task, self.attempt),
            None => format!("{}.{}", self.task, self.attempt),
        }
    }

    /// The log file below the directory of all logs.
    pub fn path(&self, logs: &Path) -> PathBuf {
        let directory =
            logs.join(self.namespace.as_str()).join(self.workflow.as_str()).join(self.run.to_string());
        directory.join(format!("{}.log", self.stem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_names_with_digits_do_not_meet() {
        let name = |text| Name::new(text).unwrap();
        let id = |task, item| LogId {
            namespace: name("retail"),
            workflow: name("daily"),
            run: RunId::new(1, 1, 1),
            task: name(task),
            item,
            attempt: 2,
        };
        assert_eq!(id("load", None).stem(), "load.2");
        assert_ne!(id("a", Some(1)).stem(), id("a-1", None).stem());
        let path = id("load", Some(3)).path(Path::new("/logs"));
        assert_eq!(
            path,
            Path::new("/logs/retail/daily").join(RunId::new(1, 1, 1).to_string()).join("load_3.2.log")
        );
    }
}
