//! A disk that fills up under a running cluster: new commands are refused with a code, what runs goes on, and all is
//! well again when there is space. Needs a small filesystem of its own, so it is skipped where none can be mounted.

mod program;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use program::{Dev, Finished, LIMIT};

/// Room for the cluster's files and the watermark (64 MiB), and little more.
const SIZE: &str = "size=160m";

/// A small filesystem; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).unwrap();
        match mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(SIZE)) {
            Ok(()) => Some(SmallDisk(at.to_owned())),
            Err(error) => {
                println!("SKIPPED: a filesystem cannot be mounted here: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Writes until so little is left that the watermark is crossed.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let space = || {
        let space = nix::sys::statvfs::statvfs(path).unwrap();
        space.blocks_available() * space.fragment_size()
    };
    while space() > 16 << 20 {
        file.write_all(&[0; 1 << 20]).unwrap();
    }
}

fn until(dev: &Dev, what: &str, accept: impl Fn(&Finished) -> bool) -> Finished {
    let limit = Instant::now() + LIMIT;
    loop {
        let finished = dev.call(&["start", "small", "-o", "name"]);
        if accept(&finished) {
            return finished;
        }
        assert!(Instant::now() < limit, "{what}: {} {}", finished.code, finished.stderr);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_full_disk_is_not_a_verdict() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("disk")) else { return };
    let data = disk.0.join("data").display().to_string();
    let dev = Dev::start(&["--masters", "1", "--workers", "1", "--data", &data]);
    let text = "hortator: v1\nname: small\ntasks:\n  - { id: wait, shell: { script: 'sleep 3' } }\n";
    let file = dev.home.write("small.workflow.yaml", text);
    dev.call(&["workflow", "apply", &file]).expect(0);
    let running = dev.call(&["start", "small", "-o", "name"]).expect(0).stdout.trim().to_string();

    let filler = disk.0.join("filler");
    fill(&filler);
    let refused = until(&dev, "a start is refused", |finished| finished.code != 0);
    assert!(refused.stderr.contains("H4101"), "{}", refused.stderr);
    let ended = dev.call(&["run", "show", &running, "--wait", "-o", "json"]).expect(0).json();
    assert_eq!(ended["state"], "succeeded", "what ran goes on");

    std::fs::remove_file(&filler).unwrap();
    until(&dev, "a start is taken again", |finished| finished.code == 0);
    assert_eq!(dev.interrupt(), 0);
}
