//! Every metric that a scrape shows. `docs/metrics.md` tells what to do about each.

use crate::metrics::text::{Family, Kind};

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $unit:literal $help:literal;)*) => {
        $(
            pub(crate) const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                help: $help,
            };
        )*

        /// All of them, in the order in which they are shown.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    OPEN = Gauge "courier_operations_open" ""
        "Operations without an outcome.";
    OLDEST = Gauge "courier_oldest_operation_age_seconds" "seconds"
        "Time since the oldest operation without an outcome was accepted, by its status; 0 if there is none.";
    MARGIN = Gauge "courier_deadline_margin_seconds" "seconds"
        "Shortest time that an operation without an outcome has to its deadline; no sample if there is none.";
    NEAR_DEADLINE = Gauge "courier_operations_near_deadline" ""
        "Operations without an outcome whose deadline is at most so many days ahead, of those that were given more time.";
    NEAR_DUE = Gauge "courier_operations_near_legal_due" ""
        "Operations without an outcome that less than so many days are left for by law; days 0: the due date has passed.";
    DUE_MARGIN = Gauge "courier_legal_due_margin_seconds" "seconds"
        "Shortest time that an operation without an outcome has to its legal due date; no sample if there is none.";
    UNAUTHORIZED = Gauge "courier_operations_authorization_lost" ""
        "Operations that wait because there is no usable token or no permission for their tenant.";
    PENDING = Gauge "courier_completions_pending" ""
        "Completions that are still to be delivered, by status of the callback.";
    OLDEST_PENDING = Gauge "courier_oldest_completion_age_seconds" "seconds"
        "Time since the end of the oldest operation whose completion is still to be delivered; 0 if there is none.";
    UNDELIVERED = Gauge "courier_completions_undeliverable" ""
        "Completions that are kept and that nobody will be sent until somebody asks for a redelivery.";
    BEHIND = Gauge "courier_worker_behind_seconds" "seconds"
        "How long the step that is longest due has been waiting; 0 if none is due.";
    LATENESS = Histogram "courier_worker_lateness_seconds" "seconds"
        "How late steps began: starts, looks at Graph, deliveries.";
    STARTED = Counter "courier_started" ""
        "Operations that Graph has started, including adopted ones.";
    ENDED = Counter "courier_ended" ""
        "Operations that have ended, by outcome.";
    START_UNKNOWN = Counter "courier_start_unknown" ""
        "Operations that ended while their job may still run unfollowed.";
    POLLS = Counter "courier_polls" ""
        "Looks at a job that Graph answered with a status below 300.";
    GRAPH_REQUESTS = Counter "courier_graph_requests" ""
        "Calls of Graph by kind and result: a class of statuses, one of 401, 403 and 429, unanswered, or not_sent.";
    THROTTLED = Counter "courier_throttled" ""
        "Calls that Graph answered with 429.";
    TOKEN_REQUESTS = Counter "courier_token_requests" ""
        "Requests for a token for Graph: granted, refused until somebody mends something, or failed for now.";
    AUTHORIZATION_LOST = Counter "courier_authorization_lost" ""
        "Steps that left an operation waiting because there was no usable token or no permission.";
    CALLBACKS = Counter "courier_callbacks" ""
        "Attempts to deliver a completion: delivered, refused, unanswered, parked for a pause, or orphaned by the configuration.";
    COMPLETION_LAG = Histogram "courier_completion_lag_seconds" "seconds"
        "Time from the end of an operation to the delivery of its completion; requested redeliveries are left out.";
    UNDELIVERABLE = Counter "courier_undeliverable" ""
        "Completions whose delivery was given up.";
    EVENTS = Counter "courier_events" ""
        "Events: sent, failed to announce an end for now, dropped, or an announcement that was given up as undeliverable.";
    STEP_CRASHES = Counter "courier_step_crashes" ""
        "Steps that panicked or hung.";
    OVERDUE = Counter "courier_overdue" ""
        "Open records that a sweep found overdue.";
    UNUSABLE = Counter "courier_unusable" ""
        "Records met that cannot be read or whose operation is not in the catalogue.";
    SWEPT_AT = Gauge "courier_last_sweep_timestamp_seconds" "seconds"
        "Time at which the last sweep ended well, in seconds since 1970.";
    HTTP_REQUESTS = Counter "courier_http_requests" ""
        "Requests of the API by route and class of the answer's status.";
    DATABASE_SIZE = Gauge "courier_database_size_bytes" "bytes"
        "Size of the data file.";
    WAL_SIZE = Gauge "courier_database_wal_size_bytes" "bytes"
        "Size of the data file's write-ahead log.";
    DISK_FREE = Gauge "courier_data_free_bytes" "bytes"
        "Space left to this user on the file system of the data file.";
    BUILD = Info "courier_build" ""
        "The version of this program.";
    START_TIME = Gauge "process_start_time_seconds" "seconds"
        "Time at which this process started, in seconds since 1970.";
    MEMORY = Gauge "process_resident_memory_bytes" "bytes"
        "Memory of this process that is in RAM.";
}
