//! What a new version of a workflow makes of its schedules: which go, which begin, and which go on with other times. It must not
//! know what becomes of a time that has come.

use std::collections::BTreeMap;

use hortator_core::definition::{Definition, Schedule};
use hortator_core::id::Name;
use hortator_core::schedule::{ScheduleCommand, ScheduleRecord, ScheduleState, Switch, Times, Trust};
use hortator_proto::row;
use hortator_raft::Write;
use slog::error;

use super::WorkflowActor;
use super::schedule_mistakes::first_time;
use super::schedules::{Fires, Planned};

impl WorkflowActor {
    /// What a new version makes of the schedules; of one entry with the version.
    pub(super) fn reschedule(&mut self, definition: &Definition, by: &str) -> Vec<Write> {
        let mut fires = Fires::default();
        let wanted: BTreeMap<&Name, &Schedule> =
            definition.schedules.iter().map(|schedule| (&schedule.id, schedule)).collect();
        let gone: Vec<Name> = self.schedules.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in gone {
            self.schedules.remove(&id);
            fires.writes.push(Write::Delete { key: row::key::schedule(self.name(), &id) });
            let (from, to) = row::key::range(&row::key::schedule_lines(self.name(), &id));
            fires.writes.push(Write::DeleteRange { from, to });
        }
        for (id, schedule) in wanted {
            match Times::new(&schedule.timing) {
                Ok(times) if self.schedules.contains_key(id) => self.change(schedule, times, by, &mut fires),
                Ok(times) => self.define(schedule, times, by),
                // Checked where the definition was read, perhaps by a program with newer zones.
                Err(error) => error!(self.context.log, "schedule cannot be used"; "workflow" => %self.name(),
                    "schedule" => %id, "error" => %error),
            }
            if let Some(Planned { record, .. }) = self.schedules.get(id) {
                let key = row::key::schedule(&record.workflow, id);
                fires.writes.push(Write::Put { key, value: row::encode_schedule(record) });
            }
        }
        fires.writes
    }

    fn define(&mut self, schedule: &Schedule, times: Times, by: &str) {
        let now = self.context.journal.now();
        let switch = match schedule.enabled {
            true => Switch::On,
            false => Switch::Off { by: by.to_owned(), since: now },
        };
        let mut state = ScheduleState::new(switch, first_time(&self.context, &times));
        // An earlier schedule of the same id may have named runs; versions rise.
        state.generation = self.state.latest.as_ref().map_or(1, |version| version.number);
        let record = ScheduleRecord {
            workflow: self.name().clone(),
            schedule: schedule.id.clone(),
            timing: schedule.timing.clone(),
            policy: schedule.policy(),
            enabled: schedule.enabled,
            state,
            since: now,
            lines: 0,
            last: None,
        };
        self.schedules.insert(schedule.id.clone(), Planned { record, times });
    }

    fn change(&mut self, schedule: &Schedule, times: Times, by: &str, fires: &mut Fires) {
        let id = &schedule.id;
        let mut commands = Vec::new();
        if self.schedules.get(id).is_some_and(|planned| planned.record.timing != schedule.timing) {
            // By the times that it still has.
            self.write_decided(id, &ScheduleCommand::LeaveTiming, fires);
            commands.push(ScheduleCommand::Retime);
        }
        let Some(Planned { record, times: before }) = self.schedules.get_mut(id) else { return };
        record.timing = schedule.timing.clone();
        *before = times;
        if record.enabled != schedule.enabled {
            record.enabled = schedule.enabled;
            commands.push(match schedule.enabled {
                true => ScheduleCommand::Enable { by: by.to_owned() },
                false => ScheduleCommand::Disable { by: by.to_owned() },
            });
        }
        record.policy = schedule.policy();
        for command in commands {
            self.write_decided(id, &command, fires);
        }
    }

    /// Of a command that starts no run.
    fn write_decided(&mut self, id: &Name, command: &ScheduleCommand, fires: &mut Fires) {
        for event in self.decide_schedule(id, command, Trust::Steady).unwrap_or_default() {
            self.write_line(id, event, None, fires);
        }
    }
}
