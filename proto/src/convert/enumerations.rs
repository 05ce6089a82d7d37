//! Enumerations without data, each beside its wire form. Wire number 0 stands for "not set" and is never valid.
//! Must not give a default for what it does not know.

use hortator_core::access::Role;
use hortator_core::cluster::MasterState;
use hortator_core::definition::{Priority, RunIf, ValueType};
use hortator_core::dispatch::stream::ListState;
use hortator_core::dispatch::{GrantFailed, KindTag};
use hortator_core::event::{RunOutcome, StopCause, TaskResult};
use protobuf::{Enum, EnumOrUnknown};

use crate::error::Unreadable;
use crate::generated::{event, frame, id, placement, row};

/// An enumeration with a wire form.
pub(crate) trait Choice: Sized + Copy {
    type Wire: Enum;
    fn wire(self) -> EnumOrUnknown<Self::Wire>;
    fn read(wire: EnumOrUnknown<Self::Wire>) -> Result<Self, Unreadable>;
}

macro_rules! choice {
    ($what:literal: $core:ident = $wire:path { $($here:ident = $there:ident),+ $(,)? }) => {
        impl Choice for $core {
            type Wire = $wire;

            fn wire(self) -> EnumOrUnknown<Self::Wire> {
                type Wire = $wire;
                EnumOrUnknown::new(match self {
                    $($core::$here => Wire::$there),+
                })
            }

            fn read(wire: EnumOrUnknown<Self::Wire>) -> Result<Self, Unreadable> {
                type Wire = $wire;
                match wire.enum_value() {
                    $(Ok(Wire::$there) => Ok($core::$here),)+
                    Ok(_) => Err(Unreadable::Missing($what)),
                    Err(number) => Err(Unreadable::UnknownKind { what: $what, number: i64::from(number) }),
                }
            }
        }
    };
}

choice!("role of a token": Role = row::TokenRole {
    Viewer = TOKEN_ROLE_VIEWER,
    Operator = TOKEN_ROLE_OPERATOR,
    Admin = TOKEN_ROLE_ADMIN,
});

choice!("state of a master": MasterState = row::MasterState {
    Joining = MASTER_STATE_JOINING,
    Member = MASTER_STATE_MEMBER,
    Leaving = MASTER_STATE_LEAVING,
    Removed = MASTER_STATE_REMOVED,
});

choice!("priority": Priority = id::Priority {
    Highest = PRIORITY_HIGHEST,
    High = PRIORITY_HIGH,
    Normal = PRIORITY_NORMAL,
    Low = PRIORITY_LOW,
    Lowest = PRIORITY_LOWEST,
});

choice!("run outcome": RunOutcome = event::RunOutcome {
    Succeeded = RUN_OUTCOME_SUCCEEDED,
    Failed = RUN_OUTCOME_FAILED,
    Cancelled = RUN_OUTCOME_CANCELLED,
});

choice!("cause of a stop": StopCause = event::StopCause {
    Timeout = STOP_CAUSE_TIMEOUT,
    Cancelled = STOP_CAUSE_CANCELLED,
});

choice!("task result": TaskResult = event::TaskResult {
    Succeeded = TASK_RESULT_SUCCEEDED,
    Failed = TASK_RESULT_FAILED,
    Skipped = TASK_RESULT_SKIPPED,
    Cancelled = TASK_RESULT_CANCELLED,
});

choice!("run_if": RunIf = event::RunIf {
    AllSuccess = RUN_IF_ALL_SUCCESS,
    AllDone = RUN_IF_ALL_DONE,
    OneSuccess = RUN_IF_ONE_SUCCESS,
    OneFailed = RUN_IF_ONE_FAILED,
    NoneFailed = RUN_IF_NONE_FAILED,
    Always = RUN_IF_ALWAYS,
});

choice!("type of an output": ValueType = frame::ValueType {
    String = VALUE_TYPE_STRING,
    Int = VALUE_TYPE_INT,
    Float = VALUE_TYPE_FLOAT,
    Bool = VALUE_TYPE_BOOL,
    Json = VALUE_TYPE_JSON,
});

choice!("task kind": KindTag = placement::KindTag {
    Shell = KIND_TAG_SHELL,
    Noop = KIND_TAG_NOOP,
});

choice!("state of a list": ListState = placement::ListState {
    Delta = LIST_STATE_DELTA,
    Begin = LIST_STATE_BEGIN,
    Part = LIST_STATE_PART,
    End = LIST_STATE_END,
    Whole = LIST_STATE_WHOLE,
});

choice!("cause of an unused grant": GrantFailed = placement::GrantFault {
    AtWorker = GRANT_FAULT_AT_WORKER,
    AtShard = GRANT_FAULT_AT_SHARD,
});
