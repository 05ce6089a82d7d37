//! What agent and warden say to each other: small frames, length first, over a stream socket.
//! Must not know sockets or processes; both sides live in one binary, so there is no version.

use std::ffi::CStr;

/// Largest frame: the kernel takes at most a quarter of the stack limit for arguments and environment, 2 MiB by
/// default, and the agent refuses more than `ENVIRONMENT_BYTES_MAX` before it comes here.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

/// Most bytes of arguments and environment together that are sent at all.
pub(crate) const ENVIRONMENT_BYTES_MAX: usize = 4 << 20;

/// Bytes of the length before each frame.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What the agent asks. A start travels with two descriptors: where its output goes and where its errors go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Start(Start<'a>),
    Stop {
        seq: u64,
        kill: bool,
    },
    /// Microseconds of the boot clock, after which nothing may run; none lifts the limit.
    Deadline(Option<i64>),
    Shutdown,
}

/// A process to start. The strings lie in the frame and end with a NUL byte there, so nothing is copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start<'a> {
    pub(super) seq: u64,
    pub(super) grace_us: u64,
    pub(super) program: &'a CStr,
    pub(super) directory: &'a CStr,
    pub(super) argv: Vec<&'a CStr>,
    pub(super) envp: Vec<&'a CStr>,
}

/// What the warden tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The warden is up and holds the lock.
    Ready {
        pid: u32,
        tag_base: u64,
    },
    Started {
        seq: u64,
        pid: u32,
        at_us: i64,
    },
    /// `stage` and `errno` as the kernel gave them.
    NotStarted {
        seq: u64,
        stage: u8,
        errno: i32,
        at_us: i64,
    },
    /// No process of the attempt is left; `status` is the main process's raw wait status.
    Ended {
        seq: u64,
        status: i32,
        at_us: i64,
    },
    /// Everything is being killed; the warden ends when nothing is left.
    Ending(EndReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EndReason {
    AgentGone = 1,
    Shutdown = 2,
    Deadline = 3,
}

/// A frame that cannot be read; the two sides disagree, and the connection is worth nothing any more.
#[derive(Debug, thiserror::Error)]
#[error("malformed frame of kind {kind}, {bytes} bytes")]
pub(crate) struct WireError {
    kind: u8,
    bytes: usize,
}

/// Begins a frame in `out`; returns where, for `end`.
fn begin(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(kind);
    at
}

fn end(out: &mut [u8], at: usize) {
    let length = (out.len() - at - LENGTH_BYTES) as u32;
    out[at..at + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Appends a start. Every string must be free of NUL bytes (the caller has checked).
pub(crate) fn put_start<'a>(
    out: &mut Vec<u8>,
    seq: u64,
    grace_us: u64,
    texts: [&[u8]; 2],
    argv: &[&[u8]],
    envp: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let at = begin(out, 1);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&grace_us.to_le_bytes());
    out.extend_from_slice(&(argv.len() as u32).to_le_bytes());
    for text in texts.iter().chain(argv) {
        out.extend_from_slice(text);
        out.push(0);
    }
    for (name, value) in envp {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    end(out, at);
}

pub(crate) fn put_stop(out: &mut Vec<u8>, seq: u64, kill: bool) {
    let at = begin(out, 2);
    out.extend_from_slice(&seq.to_le_bytes());
    out.push(u8::from(kill));
    end(out, at);
}

pub(crate) fn put_deadline(out: &mut Vec<u8>, deadline_us: Option<i64>) {
    let at = begin(out, 3);
    out.push(u8::from(deadline_us.is_some()));
    out.extend_from_slice(&deadline_us.unwrap_or(0).to_le_bytes());
    end(out, at);
}

pub(crate) fn put_shutdown(out: &mut Vec<u8>) {
    let at = begin(out, 4);
    end(out, at);
}

impl Notice {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let at = begin(out, self.kind());
        match *self {
            Notice::Ready { pid, tag_base } => {
                out.extend_from_slice(&pid.to_le_bytes());
                out.extend_from_slice(&tag_base.to_le_bytes());
            }
            Notice::Started { seq, pid, at_us } => {
                out.extend_from_slice(&seq.to_le_bytes());
                out.extend_from_slice(&pid.to_le_bytes());
                out.extend_from_slice(&at_us.to_le_bytes());
            }
            Notice::NotStarted { seq, stage, errno, at_us } => {
                out.extend_from_slice(&seq.to_le_bytes());
                out.push(stage);
                out.extend_from_slice(&errno.to_le_bytes());
                out.extend_from_slice(&at_us.to_le_bytes());
            }
            Notice::Ended { seq, status, at_us } => {
                out.extend_from_slice(&seq.to_le_bytes());
                out.extend_from_slice(&status.to_le_bytes());
                out.extend_from_slice(&at_us.to_le_bytes());
            }
            Notice::Ending(reason) => out.push(reason as u8),
        }
        end(out, at);
    }

    fn kind(&self) -> u8 {
        match self {
            Notice::Ready { .. } => 1,
            Notice::Started { .. } => 2,
            Notice::NotStarted { .. } => 3,
            Notice::Ended { .. } => 4,
            Notice::Ending(_) => 5,
        }
    }

    /// Reads the frame that `split` returned.
    pub(crate) fn read(frame: &[u8]) -> Result<Notice, WireError> {
        let mut reader = Reader(frame.get(1..).unwrap_or(&[]));
        let kind = frame.first().copied().unwrap_or(0);
        let notice = match kind {
            1 => reader.u32().zip(reader.u64()).map(|(pid, tag_base)| Notice::Ready { pid, tag_base }),
            2 => reader
                .u64()
                .zip(reader.u32())
                .zip(reader.i64())
                .map(|((seq, pid), at_us)| Notice::Started { seq, pid, at_us }),
            3 => reader
                .u64()
                .zip(reader.u8())
                .zip(reader.i32())
                .zip(reader.i64())
                .map(|(((seq, stage), errno), at_us)| Notice::NotStarted { seq, stage, errno, at_us }),
            4 => reader
                .u64()
                .zip(reader.i32())
                .zip(reader.i64())
                .map(|((seq, status), at_us)| Notice::Ended { seq, status, at_us }),
            5 => reader.u8().and_then(EndReason::from_u8).map(Notice::Ending),
            _ => None,
        };
        notice.filter(|_| reader.0.is_empty()).ok_or(WireError { kind, bytes: frame.len() })
    }
}

impl EndReason {
    fn from_u8(byte: u8) -> Option<EndReason> {
        [EndReason::AgentGone, EndReason::Shutdown, EndReason::Deadline]
            .into_iter()
            .find(|r| *r as u8 == byte)
    }
}

impl<'a> Request<'a> {
    /// Reads the frame that `split` returned.
    pub(super) fn read(frame: &'a [u8]) -> Result<Request<'a>, WireError> {
        let mut reader = Reader(frame.get(1..).unwrap_or(&[]));
        let kind = frame.first().copied().unwrap_or(0);
        let request = match kind {
            1 => reader.start().map(Request::Start),
            2 => reader.u64().zip(reader.u8()).map(|(seq, kill)| Request::Stop { seq, kill: kill != 0 }),
            3 => reader.u8().zip(reader.i64()).map(|(some, at)| Request::Deadline((some != 0).then_some(at))),
            4 => Some(Request::Shutdown),
            _ => None,
        };
        request.filter(|_| reader.0.is_empty()).ok_or(WireError { kind, bytes: frame.len() })
    }
}

/// Splits the first whole frame off `bytes`: its content and how many bytes it took. None when more must arrive.
pub(crate) fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, WireError> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(WireError { kind: 0, bytes: length });
    }
    Ok(bytes.get(LENGTH_BYTES..LENGTH_BYTES + length).map(|frame| (frame, LENGTH_BYTES + length)))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }
    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }
    fn i32(&mut self) -> Option<i32> {
        self.bytes().map(i32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }
    fn i64(&mut self) -> Option<i64> {
        self.bytes().map(i64::from_le_bytes)
    }
    fn text(&mut self) -> Option<&'a CStr> {
        let text = CStr::from_bytes_until_nul(self.0).ok()?;
        self.0 = &self.0[text.count_bytes() + 1..];
        Some(text)
    }
    fn start(&mut self) -> Option<Start<'a>> {
        let (seq, grace_us, argc) = (self.u64()?, self.u64()?, self.u32()?);
        let (program, directory) = (self.text()?, self.text()?);
        let argv = (0..argc).map(|_| self.text()).collect::<Option<Vec<_>>>()?;
        let mut envp = Vec::with_capacity(32);
        while !self.0.is_empty() {
            envp.push(self.text()?);
        }
        Some(Start { seq, grace_us, program, directory, argv, envp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_the_wire_and_nothing_shorter_is_taken() {
        for notice in [
            Notice::Ready { pid: 7, tag_base: 1 << 62 },
            Notice::Started { seq: u64::MAX, pid: 1, at_us: -1 },
            Notice::NotStarted { seq: 1, stage: 7, errno: 2, at_us: 3 },
            Notice::Ended { seq: 2, status: 0x8b, at_us: i64::MAX },
            Notice::Ending(EndReason::Deadline),
        ] {
            let mut out = Vec::new();
            notice.put(&mut out);
            for cut in 0..out.len() {
                assert!(split(&out[..cut]).unwrap().is_none(), "{notice:?} at {cut}");
            }
            let (frame, used) = split(&out).unwrap().unwrap();
            assert_eq!((Notice::read(frame).unwrap(), used), (notice, out.len()));
            for cut in 0..frame.len() {
                assert!(Notice::read(&frame[..cut]).is_err(), "{notice:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_start_keeps_its_strings() {
        let mut out = Vec::new();
        let env = [("A", ""), ("B", "x=y\n")];
        put_start(&mut out, 9, 10, [b"/bin/sh", b"/tmp"], &[b"sh", b"", "é".as_bytes()], env.into_iter());
        put_deadline(&mut out, None);
        let (frame, used) = split(&out).unwrap().unwrap();
        let Request::Start(start) = Request::read(frame).unwrap() else { panic!("another kind") };
        assert_eq!((start.seq, start.grace_us), (9, 10));
        assert_eq!((start.program, start.directory), (c"/bin/sh", c"/tmp"));
        assert_eq!(start.argv, [c"sh", c"", c"é"]);
        assert_eq!(start.envp, [c"A=", c"B=x=y\n"]);
        let (frame, _) = split(&out[used..]).unwrap().unwrap();
        assert_eq!(Request::read(frame).unwrap(), Request::Deadline(None));
        assert!(split(&[0; 8]).is_err() && split(&[255; 8]).is_err(), "lengths out of bounds");
    }
}
