//! `hortator shell` at a terminal: the prompt, completion with live names, leave to change things, history.

mod program;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use nix::pty::{Winsize, openpty};
use program::{Dev, LIMIT};

/// A program with a terminal of its own, and what it has written there without the terminal's commands.
struct Terminal {
    child: Child,
    keys: File,
    seen: Arc<(Mutex<String>, Condvar)>,
    /// What was waited for lies before.
    read: usize,
}

impl Terminal {
    fn start(dev: &Dev) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = dev.home.command(&["shell"]);
        command
            .env("XDG_STATE_HOME", dev.home.path().join("state"))
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        command.stdin(side(&pair.slave)).stdout(side(&pair.slave)).stderr(side(&pair.slave));
        let child = command.spawn().unwrap();
        drop(command);
        drop(pair.slave);
        let (keys, screen) = (File::from(pair.master.try_clone().unwrap()), File::from(pair.master));
        let seen = Arc::<(Mutex<String>, Condvar)>::default();
        let (into, answers) = (seen.clone(), keys.try_clone().unwrap());
        std::thread::spawn(move || watch(screen, answers, &into));
        Terminal { child, keys, seen, read: 0 }
    }

    fn press(&mut self, keys: &str) -> &mut Terminal {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits until the text stands after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) -> &mut Terminal {
        let until = Instant::now() + LIMIT;
        let shared = self.seen.clone();
        let (seen, news) = &*shared;
        let mut seen = seen.lock().unwrap();
        loop {
            if let Some(place) = seen[self.read..].find(text) {
                self.read += place + text.len();
                drop(seen);
                return self;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} is not shown after\n{}", &seen[self.read..]);
            seen = news.wait_timeout(seen, left).unwrap().0;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what is written, and answers when the program asks where the cursor is.
fn watch(mut screen: File, mut answers: File, seen: &(Mutex<String>, Condvar)) {
    let (mut buffer, mut rest) = ([0; 4096], String::new());
    // The terminal closes with its last user, as an error.
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        rest.push_str(&String::from_utf8_lossy(&buffer[..count]));
        for _ in 0..rest.matches("\x1b[6n").count() {
            let _ = answers.write_all(b"\x1b[1;1R");
        }
        let (plain, left) = plain(&rest);
        rest = left;
        seen.0.lock().unwrap().push_str(&plain);
        seen.1.notify_all();
    }
}

/// The text without escape sequences, and what may be the beginning of one.
fn plain(text: &str) -> (String, String) {
    let (mut plain, mut letters) = (String::new(), text.char_indices());
    while let Some((start, letter)) = letters.next() {
        if letter != '\x1b' {
            plain.push(letter);
            continue;
        }
        let mut ended = match letters.next() {
            None => false,
            Some((_, '[' | ']')) => {
                letters.any(|(_, letter)| letter.is_ascii_alphabetic() || letter == '\x07' || letter == '~')
            }
            Some(_) => true,
        };
        ended |= start + 64 < text.len();
        if !ended {
            return (plain, text[start..].to_owned());
        }
    }
    (plain, String::new())
}

#[test]
fn a_person_completes_looks_changes_and_finds_the_line_again() {
    const TAB: &str = "\t";
    const ENTER: &str = "\r";
    const UP: &str = "\x1b[A";
    const CTRL_C: &str = "\x03";
    let dev = Dev::start(&["--masters", "1", "--workers", "2"]);
    let mut terminal = Terminal::start(&dev);
    terminal.shows("AVAILABLE").shows("dev ro> ");

    // A command is completed, and live names are.
    terminal.press("stat").shows("stat").press(TAB).shows("status").press(ENTER).press(ENTER);
    terminal.shows("MASTERS").shows("dev ro> ");
    terminal.press("worker show w").shows("show w").press(TAB).shows("w1").shows("w2").press(CTRL_C);
    terminal.shows("dev ro> ");

    // Nothing is changed without leave, which asks for the cluster's name.
    terminal.press("worker cordon w1").press(ENTER).shows("[H1020]").shows("dev ro> ");
    terminal
        .press("write on")
        .press(ENTER)
        .shows("Type its name")
        .press("elsewhere\n")
        .shows("not \"elsewhere\"");
    terminal
        .shows("dev ro> ")
        .press("write on")
        .press(ENTER)
        .shows("Type its name")
        .press("dev\n")
        .shows("dev rw> ");
    terminal.press("worker cordon w1").press(ENTER).shows("is cordoned").shows("dev rw> ");
    terminal.press("write off").press(ENTER).shows("dev ro> ");

    // The prompt says as of when.
    terminal
        .press("at 1:5")
        .press(ENTER)
        .shows("dev @1:5 ro> ")
        .press("step")
        .press(ENTER)
        .shows("dev @1:6 ro> ");
    terminal.press("runs").press(ENTER).shows("only knows the present").shows("dev @1:6 ro> ");
    terminal.press("now").press(ENTER).shows("dev ro> ");

    // Lines come back, here and in the next shell.
    terminal.press(UP).shows("now").press(UP).shows("runs").press(CTRL_C).shows("dev ro> ");
    terminal.press("exit").press(ENTER);
    assert!(terminal.child.wait().unwrap().success());
    let mut next = Terminal::start(&dev);
    next.shows("dev ro> ").press(UP).shows("exit").press(CTRL_C).shows("dev ro> ").press("exit").press(ENTER);
    assert!(next.child.wait().unwrap().success());
    assert_eq!(dev.interrupt(), 0);
}
