//! What this machine can do at most: processes a second, synced appends a second. Measured in the same run, since
//! figures of two runs on a shared machine cannot be compared.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Plan;
use super::workload::{Kind, SCRIPT};
use crate::cli::error::{Error, Exit};
use crate::warden::spawn_rate::spawn_rate;

/// For how long each rate is measured.
const EACH: Duration = Duration::from_secs(2);
/// Bytes of one append: a page, about what a small entry makes the log write.
const APPEND_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Best of 1, 2 and 4 threads; none where processes are not what is measured.
    pub spawns_per_second: Option<f64>,
    pub synced_appends_per_second: f64,
}

pub(super) fn measure(plan: &Plan) -> Result<Machine, Error> {
    let spawns_per_second = match plan.kind {
        Kind::Noop => None,
        Kind::Process => Some(spawns(&plan.data)?),
    };
    let appends =
        appends(&plan.data).map_err(|error| Error::io("cannot append to the data directory", &error))?;
    Ok(Machine { spawns_per_second, synced_appends_per_second: appends })
}

/// The same argv as the shell executor's: a shell and a file with the script.
fn spawns(data: &Path) -> Result<f64, Error> {
    let failed = |detail: String| Error::new(Exit::Unexpected, "H9031", detail);
    let script = data.join("bench-script");
    std::fs::write(&script, SCRIPT).map_err(|error| Error::io("cannot write the script", &error))?;
    let program = std::env::current_exe().map_err(|error| Error::io("cannot find this program", &error))?;
    let path = script.to_string_lossy().into_owned();
    let rates = spawn_rate(&program, &["/bin/sh", &path], EACH).map_err(|error| failed(error.to_string()))?;
    rates.first().map(|best| best.per_second).ok_or_else(|| failed("no spawn rate was measured".into()))
}

fn appends(data: &Path) -> std::io::Result<f64> {
    let path = data.join("bench-append");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
    let (begun, mut count) = (Instant::now(), 0u32);
    while begun.elapsed() < EACH {
        file.write_all(&[0x5a; APPEND_BYTES])?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(&path)?;
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
