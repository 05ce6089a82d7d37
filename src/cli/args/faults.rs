//! Arguments of `hortator fault`. Must not know what a fault does.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum FaultVerb {
    /// List the faults that hold now
    #[command(after_help = "Example:\n  hortator fault list")]
    List,
    /// Inject a fault, for a while
    #[command(after_help = ADD_HELP)]
    Add(AddFaultArgs),
    /// End a fault before its time, or all of them
    #[command(after_help = "Example:\n  hortator fault clear")]
    Clear {
        /// Only this one
        #[arg(value_name = "ID")]
        id: Option<u64>,
    },
    /// As in `fault kill n2 for 10s`: `add` may be left out.
    #[command(external_subcommand)]
    Shortly(Vec<String>),
}

#[derive(Clone, Debug, Args)]
pub struct AddFaultArgs {
    /// What, to whom, and `for` how long
    #[arg(value_name = "WORDS", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

const ADD_HELP: &str = "What there is (n1 is a master, w1 a worker; each ends by itself):
  delay n1→n2 200ms±50ms for 30s     frames come late, in order; n1->n2 and n2 alone will do
  drop n2 30% for 30s                frames are lost
  partition n1 | n2,n3 for 30s       links are cut, in both directions
  disk n2 fsync-delay 2s for 1m      each sync takes so much longer
  disk n2 full for 1m                its files cannot grow
  clock n3 +5s for 1m                its wall clock is wrong
  clock n3 drift 1.01 for 1m         its wall clock runs too fast
  kill n2 for 10s                    it is gone, and starts again
  pause w1 for 20s                   it stands still
  heartbeat-loss w2 for 20s          nobody hears that it lives

Example:
  hortator fault add delay n1→n2 200ms±50ms for 30s";
