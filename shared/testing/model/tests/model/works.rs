//! The operations of the catalogue that the model runs, with the URLs and documents of Graph that each has.

use courier_core::catalogue::{Operation, Restart};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::bind::{GRAPH, JOBS, id};
use crate::words::Place;

/// An operation of the catalogue; the class says what a second start would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Export,
    Goals,
    Schedule,
    /// `lifecycle.runWorkflow`, of class never: Graph accepts it without a word, so its run is always looked for.
    Workflow,
    /// `ediscovery.exportResult`, idempotent: it is looked for when Graph names no job or the answer was lost.
    Ediscovery,
    /// `team.fromGroup`, of class adopt: refused when it is too early or there already, and followed by two looks. The
    /// catalogue has one; the model adds the second.
    Team,
}

const SECOND_LOOK: &str = r#"
[[then]]
path = "/teams/{groupId}/primaryChannel"
exists = true
within_seconds = 900
every_seconds = 15
"#;

/// The looks after the success of a team.
pub(crate) const STAGES: u8 = 2;

const FOREIGN: &str = "https://graph.microsoft.com.evil.example/v1.0/dataPolicyOperations/0";
const UUID: &str = "6b29fc40-ca47-1067-b31d-00dd010662da";

macro_rules! shipped {
    ($name:literal) => {
        include_str!(concat!(
            "../../../../courier-core/catalogue/",
            $name,
            ".toml"
        ))
    };
}

impl Work {
    pub(crate) fn class(self) -> Restart {
        match self {
            Self::Export | Self::Workflow => Restart::Never,
            Self::Goals | Self::Team => Restart::Adopt,
            Self::Schedule | Self::Ediscovery => Restart::Idempotent,
        }
    }

    /// The name in the catalogue.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Export => "user.exportPersonalData",
            Self::Goals => "goals.exportJob",
            Self::Schedule => "team.schedule",
            Self::Workflow => "lifecycle.runWorkflow",
            Self::Ediscovery => "ediscovery.exportResult",
            Self::Team => "team.fromGroup",
        }
    }

    /// The shipped file.
    pub(crate) fn operation(self) -> Operation {
        let text = match self {
            Self::Export => shipped!("user.exportPersonalData").to_owned(),
            Self::Goals => shipped!("goals.exportJob").to_owned(),
            Self::Schedule => shipped!("team.schedule").to_owned(),
            Self::Workflow => shipped!("lifecycle.runWorkflow").to_owned(),
            Self::Ediscovery => shipped!("ediscovery.exportResult").to_owned(),
            Self::Team => format!("{}{SECOND_LOOK}", shipped!("team.fromGroup")),
        };
        let operation = Operation::parse(&text, &[]).expect("a shipped file");
        assert_eq!(operation.restart, self.class());
        operation
    }

    /// What of a request's parameters its URLs name.
    pub(crate) fn parameters(self) -> Map<String, Value> {
        let names: &[&str] = match self {
            Self::Export | Self::Goals | Self::Schedule => &[],
            Self::Workflow => &["workflowId"],
            Self::Ediscovery => &["caseId", "searchId"],
            Self::Team => &["groupId"],
        };
        let parameters = names.iter().map(|name| ((*name).to_owned(), UUID.into()));
        parameters.collect()
    }

    pub(crate) fn url(self, place: Place) -> Option<String> {
        let path = match (self, place) {
            (_, Place::Nowhere) => return None,
            (_, Place::Foreign) => return Some(FOREIGN.to_owned()),
            (Self::Export, Place::Job(job)) => format!("/v1.0/dataPolicyOperations/{job}"),
            (Self::Goals, Place::Job(job)) => {
                format!("/beta/employeeExperience/goals/exportJobs/{job}")
            }
            (Self::Schedule, Place::Job(job)) => format!("/v1.0/teams/{job}/schedule"),
            (Self::Workflow, Place::Job(job)) => {
                format!("/v1.0/identityGovernance/lifecycleWorkflows/workflows/{UUID}/runs/{job}")
            }
            (Self::Ediscovery, Place::Job(job)) => {
                format!("/v1.0/security/cases/ediscoveryCases/{UUID}/operations/{job}")
            }
            (Self::Team, Place::Job(job)) => format!("/v1.0/teams/{UUID}/operations/{job}"),
            (_, Place::Made(1)) => format!("/v1.0/teams/{UUID}?$select=id,webUrl,displayName"),
            (_, Place::Made(_)) => format!("/v1.0/teams/{UUID}/primaryChannel"),
        };
        Some(format!("{GRAPH}{path}"))
    }

    pub(crate) fn place(self, location: Option<&str>) -> Place {
        let Some(location) = location else {
            return Place::Nowhere;
        };
        let mut known = (0..JOBS).map(Place::Job).chain([1, 2].map(Place::Made));
        let place = known.find(|place| self.url(*place).as_deref() == Some(location));
        place.unwrap_or(Place::Foreign)
    }

    /// The status of a successful start.
    pub(crate) fn accepted(self) -> u16 {
        match self {
            Self::Export | Self::Ediscovery | Self::Team => 202,
            Self::Goals => 201,
            Self::Schedule => 200,
            Self::Workflow => 204,
        }
    }

    /// The word by which Graph says that a job has succeeded.
    pub(crate) fn success(self) -> &'static str {
        match self {
            Self::Export => "complete",
            Self::Goals | Self::Ediscovery | Self::Team => "succeeded",
            Self::Schedule | Self::Workflow => "completed",
        }
    }

    /// The list in which a job is looked for, with this one in it or none.
    pub(crate) fn list(self, operation: u8, job: Option<u8>) -> Value {
        let began = crate::rulebook::base().to_string();
        let job = job.map(|job| match self {
            Self::Ediscovery => json!({
                "id": job.to_string(),
                "displayName": tag(operation),
                "createdDateTime": began,
                "status": "running",
            }),
            Self::Export | Self::Goals | Self::Schedule | Self::Workflow | Self::Team => json!({
                "id": job.to_string(),
                "workflowExecutionType": "onDemand",
                "scheduledDateTime": began,
                "processingStatus": "inProgress",
            }),
        });
        json!({ "value": job.into_iter().collect::<Vec<_>>() })
    }
}

/// The mark of an operation that Graph keeps.
fn tag(operation: u8) -> String {
    let digest = Sha256::digest(id(operation).to_string());
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>()[..24].to_owned()
}
