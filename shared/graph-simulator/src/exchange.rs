//! One request from the wire to the journal: route, fault, authentication, handler, entry.

use std::io;

use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use crate::answer::{Answer, Call, Content, Failure, Payload};
use crate::backend::Backend;
use crate::blobs::Blobs;
use crate::declared::{Declarations, Place};
use crate::delivery::Delivery;
use crate::effect;
use crate::entra::openid_configuration;
use crate::export::{self, Exports};
use crate::fault::{Action, Script};
use crate::goals::{self, Goals};
use crate::instant;
use crate::journal::{self, Entry, Journal};
use crate::options::Options;
use crate::route::{Route, Target};
use crate::schedule::{self, Schedules};
use crate::tokens::{Bearer, Kind, Tokens};
use crate::version::Version;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const DIAGNOSTIC: HeaderName = HeaderName::from_static("x-ms-ags-diagnostic");

/// The host of the monitors that take no token, where the simulator has no listener of its own for them.
const ANONYMOUS_ORIGIN: &str = "https://contoso.sharepoint.com";

/// The state behind all endpoints.
pub(crate) struct World {
    pub(crate) backend: Backend,
    pub(crate) blobs: Blobs,
    pub(crate) exports: Exports,
    pub(crate) goals: Goals,
    pub(crate) schedules: Schedules,
    pub(crate) tokens: Tokens,
    pub(crate) declared: Declarations,
    pub(crate) script: Script,
    pub(crate) request_id: Option<String>,
    pub(crate) journal: Journal,
}

/// A request whose body has been read.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

/// An answer, and how it is sent.
pub(crate) struct Outgoing {
    pub(crate) answer: Answer,
    pub(crate) delivery: Delivery,
}

impl World {
    pub(crate) fn new(options: Options) -> io::Result<Self> {
        let anonymous = options.anonymous_origin;
        let declared = Declarations::new(
            options.catalogue,
            &options.variants,
            anonymous.unwrap_or_else(|| ANONYMOUS_ORIGIN.to_owned()),
        );
        let declared = declared.map_err(io::Error::other)?;
        for fault in &options.faults {
            let known = fault.check_name(|operation| declared.knows(operation));
            known.map_err(io::Error::other)?;
        }
        Ok(Self {
            declared,
            backend: Backend::new(options.durations, options.behaviour),
            blobs: Blobs::default(),
            exports: Exports::default(),
            goals: Goals::default(),
            schedules: Schedules::default(),
            tokens: Tokens::new(
                options.client_secret,
                options.refresh_token,
                options.tenants,
            ),
            script: Script::new(options.faults),
            request_id: options.request_id,
            journal: Journal::open(options.journal_file.as_deref(), options.journal_keep)?,
        })
    }

    /// Serves one request. When this returns, the journal has its entry.
    pub(crate) fn exchange(&mut self, incoming: &Incoming, now: Timestamp) -> io::Result<Outgoing> {
        let route = self.route(incoming);
        let name = &route.call().to_owned();
        let action = self.script.take(name, &incoming.target());
        let bearer = self.tokens.bearer(&incoming.headers, now);
        let request_id = self.request_id.clone();
        let request_id = request_id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let origin = incoming.origin();
        let call = Call {
            now,
            version: route.version(),
            origin: &origin,
            query: &incoming.query,
            headers: &incoming.headers,
            payload: &incoming.payload,
            request_id: &request_id,
            client_request_id: text(&incoming.headers, "client-request-id"),
        };
        let mut answer = if action.as_ref().is_none_or(Action::processes) {
            self.serve(route, incoming.place, &bearer, &call)
        } else {
            Answer::new(StatusCode::OK, Content::Empty)
        };
        let delivery = match &action {
            Some(action) => {
                let path = incoming.target();
                effect::apply(
                    action,
                    name,
                    &path,
                    &call,
                    self.backend.behaviour.inner_error,
                    &mut answer,
                )
            }
            None => Delivery::Prompt,
        };
        label(&mut answer, &call);
        self.journal.record(Entry {
            fault: action.map(|action| action.name().to_owned()),
            ..entry(incoming, name, &call, &bearer, &answer, delivery)
        })?;
        Ok(Outgoing { answer, delivery })
    }

    /// Returns the call that a request makes. What no code knows, files may declare.
    fn route(&mut self, incoming: &Incoming) -> Route {
        let refused = match incoming.place {
            Place::Graph => match Route::parse(&incoming.method, &incoming.path) {
                Route::Refused(failure) => failure,
                route @ (Route::Discovery { .. }
                | Route::Token { .. }
                | Route::Storage { .. }
                | Route::Graph { .. }
                | Route::Declared(_)) => return route,
            },
            Place::Anonymous => Failure::new(StatusCode::NOT_FOUND, "itemNotFound", "Not found"),
        };
        let Incoming {
            place,
            method,
            path,
            query,
            payload,
            ..
        } = incoming;
        let aim = self.declared.aim(*place, method, path, query, payload);
        aim.map_or(Route::Refused(refused), Route::Declared)
    }

    fn serve(&mut self, route: Route, place: Place, bearer: &Bearer, call: &Call<'_>) -> Answer {
        let spelling = self.backend.behaviour.inner_error;
        let served = match route {
            Route::Discovery { tenant } => {
                let known = self.tokens.check_tenant(&tenant, "invalid_tenant");
                let configuration = known.map(|()| openid_configuration(call.origin, &tenant));
                return configuration.unwrap_or_else(|refusal| refusal.into_answer(call));
            }
            Route::Token { tenant } => {
                let revoke = self.backend.behaviour.revoke_old_refresh;
                let granted = self
                    .tokens
                    .grant(call, &tenant, &self.backend.durations, revoke);
                return granted.unwrap_or_else(|refusal| refusal.into_answer(call));
            }
            Route::Storage { method, path } => return self.blobs.serve(&method, &path, call),
            Route::Declared(aim) => admit(place, bearer, call)
                .and_then(|token| self.declared.serve(&mut self.backend, call, token, &aim)),
            Route::Refused(failure) => admit(place, bearer, call).and(Err(failure)),
            Route::Graph { target, .. } => bearer
                .kind()
                .and_then(|token| self.operate(&target, token, call)),
        };
        served.unwrap_or_else(|failure| failure.into_answer(call, spelling))
    }

    fn operate(
        &mut self,
        target: &Target,
        token: Kind,
        call: &Call<'_>,
    ) -> Result<Answer, Failure> {
        match target {
            Target::ExportStart { user } => {
                let blobs = &self.blobs;
                export::start(&mut self.backend, &mut self.exports, blobs, (call, user))
            }
            Target::ExportPoll { id } => export::poll(&self.backend, &self.exports, call, id),
            Target::ExportList => Ok(export::list(&self.backend, &self.exports, call)),
            Target::GoalsStart => delegated(token)
                .and_then(|()| goals::start(&mut self.backend, &mut self.goals, call)),
            Target::GoalsPoll { key } => {
                delegated(token).and_then(|()| goals::poll(&self.backend, &self.goals, call, key))
            }
            Target::GoalsList => {
                delegated(token).and_then(|()| goals::list(&self.backend, &self.goals, call))
            }
            Target::GoalsContent { key } => delegated(token)
                .and_then(|()| goals::content(&self.backend, &self.goals, call, key)),
            Target::ScheduleStart { team } => {
                schedule::start(&mut self.backend, &mut self.schedules, call, token, team)
            }
            Target::SchedulePoll { team } => {
                schedule::poll(&self.backend, &self.schedules, call, token, team)
            }
        }
    }
}

impl Incoming {
    fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// Returns the origin that the client has called, which is https where a proxy in front ends TLS.
    fn origin(&self) -> String {
        let scheme = match text(&self.headers, "x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        let host = text(&self.headers, HOST.as_str()).unwrap_or("localhost");
        format!("{scheme}://{host}")
    }
}

impl Route {
    fn version(&self) -> Version {
        match self {
            Self::Graph { version, .. } => *version,
            Self::Declared(aim) => aim.version,
            Self::Discovery { .. }
            | Self::Token { .. }
            | Self::Storage { .. }
            | Self::Refused(_) => Version::V1,
        }
    }
}

/// Lets a request in: on Graph with a token, on the other host only without one.
fn admit(place: Place, bearer: &Bearer, call: &Call<'_>) -> Result<Kind, Failure> {
    match place {
        Place::Graph => bearer.kind(),
        Place::Anonymous if call.headers.contains_key(AUTHORIZATION) => Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "The audience of the token is not this service.",
        )),
        // Nobody asks there whose token started the job.
        Place::Anonymous => Ok(Kind::Application),
    }
}

/// Refuses application tokens, which the goals export does not support.
fn delegated(token: Kind) -> Result<(), Failure> {
    match token {
        Kind::Delegated => Ok(()),
        Kind::Application => Err(Failure::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "Insufficient privileges to complete the operation.",
        )),
    }
}

/// Adds the headers that every answer carries.
fn label(answer: &mut Answer, call: &Call<'_>) {
    if !answer.headers.contains_key(REQUEST_ID) {
        answer.set(REQUEST_ID, call.request_id);
    }
    answer.set(
        CLIENT_REQUEST_ID,
        call.client_request_id.unwrap_or(call.request_id),
    );
    answer.set(DIAGNOSTIC, r#"{"ServerInfo":{"DataCenter":"Loopback","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"SIMULATOR"}}"#);
    if let Some(date) = instant::http_date(call.now) {
        answer.set(http::header::DATE, &date);
    }
}

fn entry(
    incoming: &Incoming,
    name: &str,
    call: &Call<'_>,
    bearer: &Bearer,
    answer: &Answer,
    delivery: Delivery,
) -> Entry {
    let lost = matches!(
        delivery,
        Delivery::Close | Delivery::Reset | Delivery::Never
    );
    let retry_after = answer.header(&RETRY_AFTER).filter(|_| !lost);
    let seconds = retry_after.and_then(|text| text.parse::<f64>().ok());
    Entry {
        seq: 0,
        at: call.now,
        method: incoming.method.to_string(),
        path: incoming.target(),
        call: name.to_owned(),
        client_request_id: call.client_request_id.map(str::to_owned),
        authorization: bearer.label(),
        acts_as: text(&incoming.headers, "ms-app-acts-as").map(str::to_owned),
        headers: journal::selected(&incoming.headers),
        body: journal::body(&incoming.payload),
        status: (!lost).then(|| answer.status.as_u16()),
        retry_after: retry_after.map(str::to_owned),
        not_before: seconds.map(|seconds| instant::after(call.now, seconds)),
        fault: None,
        job: answer.job.clone(),
        issued: answer.issued.clone(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
