//! The masters' actors in a small deterministic world: real nodes and agents on one paused clock, between pretended
//! disks, wires and processes. Every test prints its seed; the same seed repeats the same story.

mod world;

mod again;
mod answers;
mod attempts;
mod causes;
mod changes;
mod codes;
mod epochs;
mod forecasts;
mod full_disk;
mod imagined;
mod journal;
mod leases;
mod limits;
mod membership;
mod narrow;
mod offers;
mod quarantine;
mod reasons;
mod recovery;
mod registrations;
mod relays;
mod retention;
mod schedules;
mod silence;
mod spread;
mod turns;
mod twice;
mod walk;
mod window;
