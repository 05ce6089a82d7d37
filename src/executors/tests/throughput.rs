//! Many attempts: nothing leaks, and the rate is told.

use std::time::Instant;

use hortator_actors::seam::{LaunchEvent, LaunchResult, Launcher};

use super::setup::{PATIENCE, Setup, numbered};

/// Attempts of the test, and how many at a time.
const ATTEMPTS: u32 = 2000;
const AT_A_TIME: u32 = 64;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn two_thousand_quick_starts_leak_nothing() {
    let setup = Setup::new();
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let (mut started, mut ended, mut warden) = (0, 0, None);
    let start = Instant::now();
    while ended < ATTEMPTS {
        let room = (AT_A_TIME - (started - ended)).min(ATTEMPTS - started);
        setup
            .launcher
            .start((started..started + room).map(|number| numbered(number, "echo $HTR_TASK")).collect());
        started += room;
        match setup.events.recv_timeout(PATIENCE).unwrap() {
            LaunchEvent::Started { pid, .. } => warden = warden.or_else(|| parent(pid)),
            LaunchEvent::Ended(end) => {
                assert_eq!(end.result, LaunchResult::Exited { code: 0 });
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    eprintln!("{:.0} attempts/s", f64::from(ATTEMPTS) / start.elapsed().as_secs_f64());
    assert!(setup.launcher.is_empty());
    let places = std::fs::read_dir(setup.dir.join("work")).unwrap().count();
    assert!(places <= 2 * AT_A_TIME as usize, "{places} directories and scripts");
    let warden = warden.unwrap();
    let fds = std::fs::read_dir(format!("/proc/{warden}/fd")).unwrap().count();
    assert!(fds < 16, "{fds} descriptors in the warden");
    let children =
        crate::warden::strays::all_pids().into_iter().filter(|pid| parent(*pid as u32) == Some(warden));
    assert_eq!(children.count(), 0, "zombies");
    let status = std::fs::read_to_string(format!("/proc/{warden}/status")).unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    eprintln!("warden {resident}");
    // Other tests of this program open descriptors too, but nowhere near two per attempt.
    assert!(open_descriptors() < 1000, "{} descriptors here", open_descriptors());
}
