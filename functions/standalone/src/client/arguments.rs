//! The command line of what asks an API: which server, which operations, what to do with them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::terminal::duration;

/// The server, and the form of the output.
#[derive(Args, Clone)]
pub(crate) struct Target {
    /// The URL of graph-courier, as far as it stands before /v1. Without it the environment must say COURIER_URL.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A file that holds the API key. Without it the key is in the environment, as COURIER_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Prints the documents of the API for programs, each on one line.
    #[arg(long)]
    pub(crate) json: bool,
    /// The longest wait for one answer, such as 10s.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Args)]
pub(crate) struct Submit {
    /// The name of an operation in the catalogue, such as team.schedule.
    pub(crate) operation: String,
    /// A parameter as text (`name=value`), or as JSON (`name:=true`). It may be given several times. Other users of this
    /// machine can read it: give secrets, such as the SAS URL of an export, with --parameters.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// A file with the parameters as a JSON object; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Option<PathBuf>,
    /// The URL that is called back when the operation has ended.
    #[arg(long, value_name = "URL")]
    pub(crate) callback: Option<String>,
    /// The callback profile to use instead of the client's own.
    #[arg(long, value_name = "NAME", requires = "callback")]
    pub(crate) profile: Option<String>,
    /// The token of a waiting task, for profiles that send it back.
    #[arg(long, value_name = "TOKEN", requires = "callback")]
    pub(crate) token: Option<String>,
    /// A text of yours, such as the number of a ticket. It comes back in the operation and its callback.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: Option<String>,
    /// When to stop following the job: a time (RFC 3339), or a duration from now such as 3d.
    #[arg(long, value_name = "WHEN")]
    pub(crate) deadline: Option<String>,
    /// The regulation that says when the answer to the person is due: gdpr, uk-gdpr, ccpa or lgpd.
    #[arg(long, value_name = "NAME", requires_all = ["received_at", "time_zone"])]
    pub(crate) regulation: Option<String>,
    /// When the person's request was received (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "regulation")]
    pub(crate) received_at: Option<String>,
    /// The time zone whose days count for the due date, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", requires = "regulation")]
    pub(crate) time_zone: Option<String>,
    /// The calendar of public holidays that move the due date, such as de.
    #[arg(long, value_name = "NAME", requires = "regulation")]
    pub(crate) holidays: Option<String>,
    /// The key by which a repeated request is known. Without it, and without --reference, a random one is made.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// The client for which an operator asks.
    #[arg(long = "for", value_name = "CLIENT")]
    pub(crate) client: Option<String>,
    /// Waits for the end, and prints the operation then.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) wait: bool,
    /// Shows how the operation goes on until it has ended.
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --wait or --watch: how long at most, such as 10m. Then the exit code is 5.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) at_most: Option<Duration>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Which operations are meant.
#[derive(Args, Clone, Default)]
pub(crate) struct Filter {
    /// Only those in this status, or `open` for all that have not ended.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only those of this client (for operators).
    #[arg(long, value_name = "CLIENT")]
    pub(crate) client: Option<String>,
    /// Only those of this operation of the catalogue.
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// Only those with exactly this reference.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: Option<String>,
    /// Only those whose callback is none, pending, retrying, delivered or undeliverable.
    #[arg(long, value_name = "STATUS")]
    pub(crate) callback: Option<String>,
    /// Only those about this person, by the object id in their parameters.
    #[arg(long, value_name = "ID")]
    pub(crate) person: Option<String>,
    /// Only those asked for at this time or later: a time (RFC 3339), or a duration before now such as 2h.
    #[arg(long, value_name = "WHEN")]
    pub(crate) created_after: Option<String>,
    /// Only those asked for before this time, given like --created-after.
    #[arg(long, value_name = "WHEN")]
    pub(crate) created_before: Option<String>,
    /// Only those whose deadline is before this time (RFC 3339), or within a duration from now such as 3d.
    #[arg(long, value_name = "WHEN")]
    pub(crate) deadline_before: Option<String>,
    /// Only those whose answer is due by law before this time (RFC 3339), or within a duration from now such as 7d.
    #[arg(long, value_name = "WHEN", conflicts_with = "deadline_before")]
    pub(crate) due_before: Option<String>,
}

/// The order of a list.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Sort {
    /// The newest first.
    Created,
    /// Open operations only, the one with the earliest deadline first.
    Deadline,
    /// Open operations with a legal clock only, the one whose answer is due first.
    Due,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// The order: the newest first, or the open ones by their deadline or their legal due date.
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<Sort>,
    /// How many operations a page has, from 1 to 200.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<u16>,
    /// Follows the pages to the end of the list.
    #[arg(long)]
    pub(crate) all: bool,
    /// Prints the list as CSV, for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Goes on behind a page, at the cursor that is named below it.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// One operation.
#[derive(Args)]
pub(crate) struct One {
    /// The id of the operation, `op_` and 32 digits.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Several operations.
#[derive(Args)]
pub(crate) struct Many {
    /// The ids of the operations, `op_` and 32 digits each.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args)]
pub(crate) struct Watch {
    /// How long to watch at most, such as 10m. Then the exit code is 5.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) at_most: Option<Duration>,
    #[command(flatten)]
    pub(crate) many: Many,
}

#[derive(Args)]
pub(crate) struct Redeliver {
    /// The ids of the operations. Without them the filter says which are meant, by default all with an undeliverable callback.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Only those that ended at this time or later: a time (RFC 3339), or a duration before now such as 2h.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only those that ended before this time, given like --since.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Shows what would be delivered again, and delivers nothing.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Asks nothing before it delivers.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args)]
pub(crate) struct Acknowledge {
    /// What was found out about the operation. It is kept with your name, and shown with the operation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) one: One,
}

#[derive(Args)]
pub(crate) struct Erase {
    /// Asks nothing before it erases.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) one: One,
}

impl Filter {
    /// Reports whether nothing is filtered.
    pub(crate) fn is_empty(&self) -> bool {
        [
            &self.status,
            &self.client,
            &self.operation,
            &self.reference,
            &self.callback,
            &self.person,
            &self.created_after,
            &self.created_before,
            &self.deadline_before,
            &self.due_before,
        ]
        .into_iter()
        .all(Option::is_none)
    }
}
