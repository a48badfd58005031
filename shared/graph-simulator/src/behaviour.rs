//! The simulator's behaviour where the evidence about Graph leaves a choice.
//!
//! Each default is what the documentation's examples or the metadata show; the alternative can be selected.

use serde::{Deserialize, Serialize};

use crate::retry_after;

/// The choices that concern every operation, and those of each operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    pub export: ExportBehaviour,
    pub goals: GoalsBehaviour,
    pub schedule: ScheduleBehaviour,
    pub location: LocationForm,
    pub location_version: LocationVersion,
    pub inner_error: InnerError,
    /// User ids, goals organizations and team ids whose jobs fail whatever `outcome` is set to. A declared operation fails
    /// if its path or body contains one of these texts.
    pub failing: Vec<String>,
    /// Answers 429 where a declared operation exceeds the limit that is documented for it.
    pub limits: bool,
    /// Refuses a used refresh token with `invalid_grant`; by default Entra leaves it valid.
    pub revoke_old_refresh: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportBehaviour {
    pub outcome: Outcome,
    /// The `Retry-After` of the 202: seconds, any text, or `false` for no header.
    #[serde(with = "retry_after")]
    pub retry_after_start: Option<String>,
    /// The `Retry-After` of every poll but the last one.
    #[serde(with = "retry_after")]
    pub retry_after_poll: Option<String>,
    pub location_quoted: bool,
    pub progress: Progress,
    /// Answers with a null storage location, as the published service does through a known bug.
    pub null_storage_location: bool,
    pub empty_user_id: bool,
    /// Sends the operation id as `request-id`, as the published service does; a gateway may replace it.
    pub operation_id_as_request_id: bool,
    /// Storage hosts without append blobs (premium accounts).
    pub premium_accounts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoalsBehaviour {
    pub outcome: Outcome,
    #[serde(with = "retry_after")]
    pub retry_after_start: Option<String>,
    #[serde(with = "retry_after")]
    pub retry_after_poll: Option<String>,
    pub location_quoted: bool,
    /// Wraps the entity in `{"value":{…}}` as in the examples; `false` sends the bare entity of the metadata.
    pub envelope: bool,
    pub timestamps: Timestamps,
    /// Organizations that are answered with 404 `goalsOrganizationIdNotFound`.
    pub unknown_organizations: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleBehaviour {
    pub outcome: Outcome,
    #[serde(with = "retry_after")]
    pub retry_after_start: Option<String>,
    #[serde(with = "retry_after")]
    pub retry_after_poll: Option<String>,
    /// The spelling of `provisionStatus`.
    pub casing: Casing,
    /// The spelling of `startDayOfWeek`.
    pub day_casing: Casing,
    /// Requires `MS-APP-ACTS-AS` with an application token, else answers 403, as older documentation says.
    pub require_acts_as: bool,
    pub not_provisioned: NotProvisioned,
    /// The code shown when provisioning has failed. No list of its values is published.
    pub provision_status_code: String,
    /// Teams that are answered with 404.
    pub unknown_teams: Vec<String>,
}

/// The way a job ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Succeeded,
    Failed,
    /// The job keeps running, which is most likely how a lost export looks.
    Endless,
}

/// The type and scale of an export's `progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    #[default]
    Percent,
    Fraction,
    PercentText,
    FractionText,
}

/// The form of a Location: with an origin, or relative to the API version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationForm {
    #[default]
    Absolute,
    Relative,
}

/// The API version in a Location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationVersion {
    #[default]
    AsCalled,
    V1,
}

/// The spelling of the inner error's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InnerError {
    /// `innerError`, and `innererror` where the documentation prints that.
    #[default]
    Documented,
    Camel,
    Lower,
    Both,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamps {
    /// `2023-06-19T12-06-03.0024Z`
    #[default]
    Malformed,
    Iso,
}

/// The answer to a GET on a team without a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotProvisioned {
    /// 200 with `provisionStatus` `NotStarted`.
    #[default]
    NotStarted,
    /// 404 with a JSON document inside `error.message`.
    NotFound,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Casing {
    #[default]
    Pascal,
    Camel,
    Lower,
}

impl Casing {
    /// Spells a PascalCase name in this casing.
    pub(crate) fn spell(self, word: &str) -> String {
        match self {
            Self::Pascal => word.to_owned(),
            Self::Camel => {
                let mut letters = word.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                first.into_iter().chain(letters).collect()
            }
            Self::Lower => word.to_ascii_lowercase(),
        }
    }
}

impl Default for ExportBehaviour {
    fn default() -> Self {
        Self {
            outcome: Outcome::default(),
            retry_after_start: Some("60".to_owned()),
            retry_after_poll: None,
            location_quoted: false,
            progress: Progress::default(),
            null_storage_location: false,
            empty_user_id: false,
            operation_id_as_request_id: true,
            premium_accounts: Vec::new(),
        }
    }
}

impl Default for GoalsBehaviour {
    fn default() -> Self {
        Self {
            outcome: Outcome::default(),
            retry_after_start: None,
            retry_after_poll: Some("60".to_owned()),
            location_quoted: true,
            envelope: true,
            timestamps: Timestamps::default(),
            unknown_organizations: Vec::new(),
        }
    }
}

impl Default for ScheduleBehaviour {
    fn default() -> Self {
        Self {
            outcome: Outcome::default(),
            retry_after_start: None,
            retry_after_poll: None,
            casing: Casing::Pascal,
            day_casing: Casing::Camel,
            require_acts_as: false,
            not_provisioned: NotProvisioned::default(),
            provision_status_code: "ProvisioningFailed".to_owned(),
            unknown_teams: Vec::new(),
        }
    }
}
