//! An authenticated caller, and what it may see and do.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use super::looks;
use super::problem::Problem;
use super::store;
use crate::auth::Principal;
use crate::catalogue::Catalogue;
use crate::config::Client;
use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::lifecycle::Event;
use crate::operation::view::document;
use crate::operation::{OperationId, Record};

/// A request of a known caller.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) app: &'a App,
    pub(super) who: Principal<'a>,
}

impl<'a> Session<'a> {
    /// Reports whether the caller sees the operations of this client.
    fn sees(self, client: &str) -> bool {
        match self.who {
            Principal::Client(own) => own.name == client,
            Principal::Operator(operator) => operator.sees(client),
        }
    }

    /// Reports whether the caller may change anything.
    pub(super) fn may_write(self) -> bool {
        match self.who {
            Principal::Client(_) => true,
            Principal::Operator(operator) => !operator.read_only,
        }
    }

    /// Loads the record of this id; one that the caller does not see is not found.
    pub(super) async fn record(self, id: &str) -> Result<Record, Problem> {
        let id = OperationId::parse(id).ok_or(Problem::NotFound)?;
        let record = self.app.store.load(&id).await;
        let record = record.map_err(|error| store(&error))?;
        let visible = record.filter(|record| self.sees(&record.client));
        visible.ok_or(Problem::NotFound)
    }

    /// Returns the operation's document; for an operator it names the client.
    pub(super) fn document(self, record: &Record) -> Value {
        let mut document = document(record, self.app.now());
        if let (Principal::Operator(_), Value::Object(fields)) = (self.who, &mut document) {
            fields.insert("client".to_owned(), record.client.as_str().into());
        }
        document
    }

    /// Returns the operation's document: 202 while the operation is open, 200 once it has ended.
    pub(super) fn state(self, record: &Record) -> Response<Bytes> {
        looks::state(self, record)
    }

    /// Returns the names of the clients whose operations a list has; `wished` is the query parameter `client`.
    pub(super) fn clients(self, wished: Option<&str>) -> Result<Vec<String>, Problem> {
        match (self.who, wished) {
            (Principal::Client(own), None) => Ok(vec![own.name.clone()]),
            (Principal::Client(_), Some(_)) => Err(not_for_clients()),
            (Principal::Operator(operator), Some(name)) => match operator.sees(name) {
                true => Ok(vec![name.to_owned()]),
                false => Err(unknown_client()),
            },
            (Principal::Operator(operator), None) => {
                let known = self.app.config.clients.keys();
                Ok(known.filter(|name| operator.sees(name)).cloned().collect())
            }
        }
    }

    /// Returns the client that a call is made for: the caller itself, or the one that an operator names.
    pub(super) fn client(self, wished: Option<&str>) -> Result<&'a Client, Problem> {
        match (self.who, wished) {
            (Principal::Client(own), None) => Ok(own),
            (Principal::Client(_), Some(_)) => Err(not_for_clients()),
            (Principal::Operator(operator), Some(name)) => {
                let known = self.app.config.clients.get(name);
                let seen = known.filter(|client| operator.sees(&client.name));
                seen.ok_or_else(unknown_client)
            }
            (Principal::Operator(_), None) => Err(Problem::InvalidQuery {
                parameter: "client".to_owned(),
                rule: "is required: an operator acts for one of the clients",
            }),
        }
    }

    /// Applies an event of the API to a record and returns the changed record. The history names the caller.
    pub(super) async fn change(self, record: Record, event: Event) -> Result<Record, Problem> {
        let app = self.app;
        let event = Event::Requested {
            by: self.who.label(),
            event: Box::new(event),
        };
        let id = record.id.clone();
        // An operation that has left the catalogue can still be cancelled.
        let operation = app.catalogue.find(&record.operation);
        let operation = operation.unwrap_or_else(Catalogue::stand_in);
        match step::commit(app, record, operation, &event).await {
            Ok((record, _)) => Ok(record),
            Err(StepError::Queue(error)) => {
                // The change is durable, and the sweeper will queue a message in place of this one.
                tracing::error!(operation.id = %id, error = %chain(&error), "could not queue a message; the sweeper queues it");
                let current = app.store.load(&id).await.map_err(|error| store(&error))?;
                current.ok_or(Problem::NotFound)
            }
            Err(StepError::Store(error) | StepError::Unwritten { source: error, .. }) => {
                Err(store(&error))
            }
            Err(StepError::UnknownOperation(_) | StepError::TooManyRounds) => {
                Err(Problem::Internal)
            }
        }
    }
}

/// Returns the query parameter `client`, the only one that the call knows.
pub(super) fn wished_client(request: &Request<Bytes>) -> Result<Option<String>, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let mut wished = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if wished.replace(value.into_owned()).is_some() {
            return Err(super::list::bad_query(&name, "must be sent once"));
        }
    }
    Ok(wished)
}

fn not_for_clients() -> Problem {
    Problem::InvalidQuery {
        parameter: "client".to_owned(),
        rule: "is for operators: a client sees its own operations",
    }
}

fn unknown_client() -> Problem {
    Problem::InvalidQuery {
        parameter: "client".to_owned(),
        rule: "is not a client whose operations this operator sees",
    }
}
