//! One connection after its handshake: a reader that cuts frames out of the stream, a writer that sends all that
//! waits in one call. Must not know who called whom.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hortator_proto::frame::FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::outgoing::Outgoing;
use super::peers::{Peers, Registered};
use super::stream::Line;

/// The frame's length, little-endian.
const LENGTH_BYTES: usize = 4;
/// What one read asks the kernel for; several hundred small frames.
const READ_BYTES: usize = 64 << 10;
/// A large frame's buffer grows by at most this, so that an announced length alone costs little.
const GROW_BYTES_MAX: usize = 1 << 20;
/// One write: half of what the kernel takes in pieces (a length and a frame are two), and a socket buffer's worth.
const WRITE_FRAMES_MAX: usize = 512;
const WRITE_BYTES_MAX: usize = 1 << 20;

/// A frame that has begun goes on within this, byte by byte; a peer that stops in the middle of one is stuck or worse, and
/// what it has sent takes memory. Longer than any hiccup after which TCP itself keeps a connection.
const FRAME_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Runs until either side closes or breaks the rules. Two tasks, so that neither direction waits for the other.
pub(super) async fn run(
    line: Line,
    mut frames: FrameReader,
    peers: &Arc<Peers>,
    own: &Registered,
) -> io::Error {
    let Line { mut reader, mut writer, peer: _ } = line;
    let (peers, peer, outgoing) = (peers.clone(), own.node.clone(), own.outgoing.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            match frames.next(&mut reader, FRAME_BYTES_MAX).await {
                Ok(frame) => peers.deliver(&peer, frame),
                Err(error) => return error,
            }
        }
    });
    tasks.spawn(async move { write_all(&mut writer, &outgoing).await });
    match tasks.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(error)) => io::Error::other(error),
        None => unreachable!("two tasks were spawned"),
    }
}

/// Cuts frames out of a stream.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    silence_max: Duration,
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new(FRAME_SILENCE_MAX)
    }
}

impl FrameReader {
    pub(super) fn new(silence_max: Duration) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), silence_max }
    }

    /// The next frame, of at most `max` bytes.
    pub(super) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        max: usize,
    ) -> io::Result<Bytes> {
        loop {
            let missing = match self.buffer.first_chunk::<LENGTH_BYTES>() {
                None => READ_BYTES,
                Some(length) => {
                    let length = u32::from_le_bytes(*length) as usize;
                    if length > max {
                        let why = format!("a frame of {length} bytes is announced, at most {max} are taken");
                        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                    }
                    if self.buffer.len() >= LENGTH_BYTES + length {
                        self.buffer.advance(LENGTH_BYTES);
                        return Ok(self.buffer.split_to(length).freeze());
                    }
                    (LENGTH_BYTES + length - self.buffer.len()).clamp(READ_BYTES, GROW_BYTES_MAX)
                }
            };
            self.buffer.reserve(missing);
            let begun = !self.buffer.is_empty();
            let reading = stream.read_buf(&mut self.buffer);
            let read = match begun {
                false => reading.await?,
                true => timeout(self.silence_max, reading).await.map_err(|_| {
                    io::Error::new(io::ErrorKind::TimedOut, "the peer fell silent within a frame")
                })??,
            };
            if read == 0 {
                let why =
                    if self.buffer.is_empty() { "the peer closed" } else { "the peer closed within a frame" };
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
    }
}

/// Writes one frame at once.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = (frame.len() as u32).to_le_bytes();
    stream.write_all(&[&length[..], frame].concat()).await?;
    stream.flush().await
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), outgoing: &Outgoing) -> io::Error {
    while let Some(frames) = outgoing.take(WRITE_FRAMES_MAX, WRITE_BYTES_MAX).await {
        if let Err(error) = write_frames(stream, &frames).await {
            return error;
        }
        outgoing.written(&frames);
    }
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "this node closed it: another connection has taken its place, or the peer was removed",
    )
}

async fn write_frames(stream: &mut (impl AsyncWrite + Unpin), frames: &[Bytes]) -> io::Result<()> {
    let lengths: Vec<[u8; LENGTH_BYTES]> =
        frames.iter().map(|frame| (frame.len() as u32).to_le_bytes()).collect();
    let pieces =
        lengths.iter().zip(frames).flat_map(|(length, frame)| [IoSlice::new(length), IoSlice::new(frame)]);
    let mut pieces: Vec<IoSlice<'_>> = pieces.collect();
    let mut rest = &mut pieces[..];
    // Empty frames are empty pieces; skip those at the front so that the loop ends with the last byte.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match stream.write_vectored(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut rest, written),
        }
    }
    // TLS may hold back what the socket did not take.
    stream.flush().await
}
