//! A file in memory as its process sees it, in pages of which those that were never written take no space, and how to
//! take back what is not synced. Must not know names or crashes.

/// Most writes are one page of the store, which is then replaced as a whole.
const PAGE_BYTES: usize = 4096;

/// A page that was never written has zeros in it.
type Page = Option<Box<[u8; PAGE_BYTES]>>;

/// Most writes are synced and few crashes happen, so what a write replaces is kept rather than a second copy of the file.
#[derive(Clone, Default)]
pub(super) struct Image {
    length: usize,
    /// As many as the length needs; behind the length the last has zeros.
    pages: Vec<Page>,
    undo: Vec<Undo>,
}

/// What a change has replaced, in a file of that length.
#[derive(Clone)]
struct Undo {
    kind: Kind,
    pages: Vec<(usize, Page)>,
    length: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Write { offset: usize, bytes: usize },
    Length { length: usize },
}

/// What was done to a file since it was synced, to be done again in part.
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Image {
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// False when there is not so much to read.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset + out.len() > self.length {
            return false;
        }
        for piece in pieces(offset, out.len()) {
            let into = &mut out[piece.done..piece.done + piece.bytes];
            match &self.pages[piece.page] {
                Some(page) => into.copy_from_slice(&page[piece.within()]),
                None => into.fill(0),
            }
        }
        true
    }

    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; self.length];
        self.read(0, &mut content);
        content
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let (length, kind) = (self.length, Kind::Write { offset, bytes: data.len() });
        self.resize(length.max(offset + data.len()));
        let pages = pieces(offset, data.len()).map(|piece| (piece.page, self.put(&piece, data))).collect();
        self.undo.push(Undo { kind, pages, length });
    }

    /// Gives the page as it was.
    fn put(&mut self, piece: &Piece, data: &[u8]) -> Page {
        let data = &data[piece.done..piece.done + piece.bytes];
        let page = &mut self.pages[piece.page];
        if let Ok(whole) = <&[u8; PAGE_BYTES]>::try_from(data) {
            return page.replace(Box::new(*whole));
        }
        let before = page.clone();
        filled(page)[piece.within()].copy_from_slice(data);
        before
    }

    pub(super) fn set_length(&mut self, to: usize) {
        let length = self.length;
        let kept = to.div_ceil(PAGE_BYTES).min(self.pages.len());
        let mut pages: Vec<(usize, Page)> = (kept..).zip(self.pages.drain(kept..)).collect();
        if to < length && !to.is_multiple_of(PAGE_BYTES) {
            let last = &mut self.pages[kept - 1];
            pages.push((kept - 1, last.clone()));
            if let Some(last) = last {
                last[to % PAGE_BYTES..].fill(0);
            }
        }
        self.resize(to);
        self.undo.push(Undo { kind: Kind::Length { length: to }, pages, length });
    }

    fn resize(&mut self, length: usize) {
        self.length = length;
        self.pages.resize(length.div_ceil(PAGE_BYTES), None);
    }

    pub(super) fn sync(&mut self) {
        self.undo.clear();
    }

    /// What is on the disk for certain.
    pub(super) fn synced(&self) -> Image {
        let mut copy = self.clone();
        copy.take_back();
        copy
    }

    /// A bit of the medium rots, whatever was written over it since the last sync.
    pub(super) fn flip_bit(&mut self, offset: usize) {
        let (page, at) = (offset / PAGE_BYTES, offset % PAGE_BYTES);
        for undo in self.undo.iter_mut().filter(|undo| offset < undo.length) {
            for (_, old) in undo.pages.iter_mut().filter(|(number, _)| *number == page) {
                filled(old)[at] ^= 1;
            }
        }
        if offset < self.length {
            filled(&mut self.pages[page])[at] ^= 1;
        }
    }

    /// Gives what it has taken back, in order.
    pub(super) fn take_back(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for Undo { kind, pages, length } in std::mem::take(&mut self.undo).into_iter().rev() {
            changes.push(match kind {
                Kind::Write { offset, bytes } => {
                    let mut data = vec![0; bytes];
                    self.read(offset, &mut data);
                    Change::Write { offset, data }
                }
                Kind::Length { length } => Change::Length(length),
            });
            self.resize(length);
            for (number, page) in pages {
                if let Some(now) = self.pages.get_mut(number) {
                    *now = page;
                }
            }
        }
        changes.reverse();
        changes
    }
}

fn filled(page: &mut Page) -> &mut [u8; PAGE_BYTES] {
    page.get_or_insert_with(|| Box::new([0; PAGE_BYTES]))
}

/// A part of a range that lies in one page.
struct Piece {
    page: usize,
    at: usize,
    bytes: usize,
    /// Bytes of the range before it.
    done: usize,
}

impl Piece {
    fn within(&self) -> std::ops::Range<usize> {
        self.at..self.at + self.bytes
    }
}

fn pieces(offset: usize, bytes: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (page, at) = ((offset + done) / PAGE_BYTES, (offset + done) % PAGE_BYTES);
        let piece = Piece { page, at, bytes: (PAGE_BYTES - at).min(bytes - done), done };
        done += piece.bytes;
        (piece.bytes > 0).then_some(piece)
    })
}
