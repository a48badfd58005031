//! The script of the proxy: what strikes which call.

/// The action on a call that is not passed on.
#[derive(Debug, Clone)]
pub enum Action {
    /// Answers with an error; MiniStack is not asked.
    Refuse {
        status: u16,
        kind: String,
        message: String,
    },
    /// Passes the call on, then closes the connection without an answer.
    AppliedButLost,
    /// Passes the call on, then says nothing until the peer gives up.
    AppliedThenHangs,
    /// Says nothing until the peer gives up; MiniStack is not asked.
    Hang,
    /// Closes the connection; MiniStack is not asked.
    Close,
}

/// An action for some calls of one operation.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: String,
    action: Action,
    text: String,
    after: usize,
    times: usize,
}

impl Action {
    pub fn refuse(status: u16, kind: &str, message: &str) -> Self {
        Self::Refuse {
            status,
            kind: kind.to_owned(),
            message: message.to_owned(),
        }
    }

    /// DynamoDB has too much to do.
    pub fn throttled() -> Self {
        let kind = "com.amazonaws.dynamodb.v20120810#ThrottlingException";
        Self::refuse(
            400,
            kind,
            "Rate of requests exceeds the allowed throughput.",
        )
    }

    pub fn unavailable() -> Self {
        Self::refuse(503, "ServiceUnavailable", "Service is unavailable.")
    }

    pub fn internal() -> Self {
        Self::refuse(500, "InternalServerError", "Internal server error")
    }

    /// SQS cannot use the queue's key for now.
    pub fn kms_throttled() -> Self {
        let kind = "com.amazonaws.sqs#KmsThrottled";
        Self::refuse(400, kind, "The request was throttled by KMS.")
    }
}

impl Fault {
    /// Strikes the next call of `operation` (`PutItem`, `SendMessage`, …; `*` is any).
    pub fn on(operation: &str, action: Action) -> Self {
        Self {
            operation: operation.to_owned(),
            action,
            text: String::new(),
            after: 0,
            times: 1,
        }
    }

    /// Strikes so many calls.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Lets so many calls pass first.
    #[must_use]
    pub fn after(mut self, after: usize) -> Self {
        self.after = after;
        self
    }

    /// Only calls with `text` in the body count.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// True if it still waits for a call.
    pub(crate) fn is_left(&self) -> bool {
        self.times > 0
    }

    fn concerns(&self, operation: &str, body: &[u8]) -> bool {
        self.is_left()
            && (self.operation == "*" || self.operation == operation)
            && contains(body, &self.text)
    }
}

/// The first fault that concerns a call and does not let it pass.
pub(crate) fn strike(faults: &mut [Fault], operation: &str, body: &[u8]) -> Option<Action> {
    for fault in faults {
        if !fault.concerns(operation, body) {
            continue;
        }
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        fault.times -= 1;
        return Some(fault.action.clone());
    }
    None
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty()
        || bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
}
