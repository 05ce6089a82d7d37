//! Pages of H4…: disks and backups.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
    entry(
        "H4101",
        "the disk is nearly full",
        "Free space under a master's data directory fell below the watermark, so the shard takes no new versions, runs or \
         retries. Nothing was done, and nothing is lost: running tasks go on, their reports are committed, cancels \
         work. Free some space; the shard notices by itself.",
    ),
    entry(
        "H4201",
        "the file is no backup",
        "A backup begins with the words HORTATOR BACKUP, and this file does not. Name the file that hortator backup save \
         has written; a compressed or encrypted one has to be unpacked first.",
    ),
    entry(
        "H4202",
        "the backup is cut short",
        "The file ends before its end: it was not copied whole, or the disk was full. hortator backup save itself never \
         leaves such a file under the name it was given. Copy it again, or use an earlier backup.",
    ),
    entry(
        "H4203",
        "the backup is damaged",
        "A checksum does not match, or parts of the file do not fit together; the message says at which byte. Nothing was \
         restored. Copy the file again from where it was made, or use an earlier one: a damaged backup is not used in part.",
    ),
    entry(
        "H4204",
        "the backup has another format",
        "It was written by a version of Hortator whose backups this one does not know. Use that version, or a newer one.",
    ),
    entry(
        "H4205",
        "a backup is being made already",
        "Making a backup reads everything a master has, so each master makes one at a time. Wait until it is done, or ask \
         another master: --addr HOST:PORT.",
    ),
    entry(
        "H4206",
        "the backup's file exists",
        "hortator backup save replaces no file, so that a good backup is never lost to one that fails. Choose another name, \
         with the date in it, or remove the old file.",
    ),
];
