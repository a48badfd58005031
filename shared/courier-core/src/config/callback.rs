//! Reads how a client's completions are sent: `[clients.<id>.callback]`, and further profiles that its requests may
//! name.

use std::collections::BTreeMap;

use url::Url;

use super::aws::{Aws, Sigv4, sigv4};
use super::findings::did_you_mean;
use super::profile_changes::Changes;
use super::reader::Reader;
use crate::crypto::secret::Secret;
use crate::outbound::address::Allowed;
use crate::profile::{DEFAULT, Profile, ProofKind, Signature};

/// The callback profiles of one client.
pub struct CallbackProfiles {
    /// Name of the profile for requests that name none.
    pub default: String,
    /// All profiles, by the name that a request may give.
    pub all: BTreeMap<String, CallbackProfile>,
}

/// A profile as one client uses it: with the client's changes and secrets.
pub struct CallbackProfile {
    /// The profile, which holds the form, method and headers of the request.
    pub format: Profile,
    pub proof: Proof,
    /// Keys of the profile's HMAC; the first one signs.
    pub secrets: Vec<Secret>,
    /// The receiver must consent before the first delivery (CloudEvents webhooks, "Abuse protection").
    pub handshake: bool,
}

/// The credentials by which we authenticate ourselves to the receiver.
pub enum Proof {
    None,
    Token(Secret),
    Basic {
        username: String,
        password: Secret,
    },
    OAuth2(OAuth2),
    /// Each request is signed for a service of AWS.
    Sigv4(Sigv4),
}

/// The settings of an OAuth 2.0 client credentials grant (RFC 6749 §4.4).
pub struct OAuth2 {
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Receiver that the token is for, where the authorization server wants it by this name.
    pub audience: Option<String>,
    /// The same by the name of RFC 8707.
    pub resource: Option<String>,
    pub client_authentication: ClientAuthentication,
}

/// The place of our credentials in a token request (RFC 6749 §2.3.1), by the names of RFC 7591 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `client_secret_post`: id and secret are in the body.
    Post,
    /// `client_secret_basic`: id and secret are in the `Authorization` header.
    Basic,
}

impl ClientAuthentication {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "client_secret_post" => Ok(Self::Post),
            "client_secret_basic" => Ok(Self::Basic),
            _ => Err("must be client_secret_post or client_secret_basic"),
        }
    }
}

impl Proof {
    /// Returns a description for people, without secrets.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::None => "no credentials",
            Self::Token(_) => "a token",
            Self::Basic { .. } => "a user name and password",
            Self::OAuth2(_) => "an OAuth 2.0 token",
            Self::Sigv4(_) => "a signature for AWS",
        }
    }
}

/// What the rest of the document says, by which profiles are read.
struct Ground<'a> {
    allowed: &'a Allowed,
    aws: &'a Aws,
}

/// Reads the tables `callback` and `profiles` of a client.
pub(super) fn profiles(table: &mut Reader<'_>, allowed: &Allowed, aws: &Aws) -> CallbackProfiles {
    let ground = &Ground { allowed, aws };
    let mut all = table.tables("profiles", |name, table| {
        let base = table.optional_text("profile");
        profile(base.as_deref().unwrap_or(name), table, ground)
    });
    let first = table.optional_table("callback", |table| {
        let name = table
            .optional_text("profile")
            .unwrap_or_else(|| DEFAULT.to_owned());
        (profile(&name, table, ground), name)
    });
    let Some((first, default)) = first else {
        let mut profiles = CallbackProfiles::default();
        profiles.all.extend(all);
        return profiles;
    };
    if all.contains_key(&default) {
        table.error(
            "profiles",
            &format!("{default} is the profile of callback already"),
        );
    }
    all.extend(first.map(|profile| (default.clone(), profile)));
    CallbackProfiles { default, all }
}

impl Default for CallbackProfiles {
    /// Returns the default profile alone.
    fn default() -> Self {
        let profile = Profile::find(DEFAULT).map(plain);
        Self {
            default: DEFAULT.to_owned(),
            all: profile
                .map(|profile| (DEFAULT.to_owned(), profile))
                .into_iter()
                .collect(),
        }
    }
}

fn plain(profile: &Profile) -> CallbackProfile {
    CallbackProfile {
        format: profile.clone(),
        proof: Proof::None,
        secrets: Vec::new(),
        handshake: false,
    }
}

/// Reads one profile: the shipped one named `base`, what the configuration changes of it, and its secrets.
fn profile(base: &str, table: &mut Reader<'_>, ground: &Ground<'_>) -> Option<CallbackProfile> {
    let found = Profile::find(base);
    let service = found.and_then(|profile| profile.service.as_deref());
    let proof = proof(table, service, ground);
    let secrets = table.secrets("secrets", |secret| Ok(secret.clone()));
    let handshake = table.flag("handshake").unwrap_or(false);
    let changes = Changes::read(table);
    let Some(profile) = found else {
        let known = Profile::shipped().iter().map(|known| known.name.as_str());
        let known: Vec<&str> = known.collect();
        let hint = did_you_mean(base, known.iter().copied());
        let rule = format!("must be one of {}{hint}", known.join(", "));
        table.error("profile", &rule);
        return None;
    };
    let mut profile = changes.over(profile.clone(), table);
    if table.has("sigv4") && profile.path.is_none() {
        // What is signed for is what the configuration says, not what a request's URL says.
        profile.path = Some("/".to_owned());
    }
    for (key, rule) in profile.mistakes() {
        table.error(key, rule);
    }
    let proof = proof?;
    check_proof(&profile, &proof, table);
    check_authorization(&profile, &proof, table);
    Some(CallbackProfile {
        format: profile,
        proof,
        secrets,
        handshake,
    })
}

fn check_proof(profile: &Profile, proof: &Proof, table: &mut Reader<'_>) {
    let has_secrets = table.has_items("secrets");
    let proofs = [
        "token", "username", "password", "oauth2", "secrets", "sigv4",
    ];
    let is_misspelt = |key: &&str| !table.has(key) && table.has_or_means(key);
    if proofs.iter().any(is_misspelt) {
        return;
    }
    let given = match proof {
        Proof::None => None,
        Proof::Token(_) => Some(ProofKind::Token),
        Proof::Basic { .. } => Some(ProofKind::Basic),
        Proof::OAuth2(_) => Some(ProofKind::Oauth2),
        Proof::Sigv4(_) => Some(ProofKind::Sigv4),
    };
    let signs = profile.hmac.is_some() && has_secrets;
    let is_satisfied = profile.proofs.is_empty()
        || profile.proofs.iter().any(|kind| given == Some(*kind))
        || (signs && profile.proofs.contains(&ProofKind::Hmac));
    if !is_satisfied {
        let alternatives: Vec<&str> = profile.proofs.iter().map(|kind| keys(*kind)).collect();
        let rule = format!("{} needs {}", profile.name, alternatives.join(", or "));
        table.error("profile", &rule);
    }
    if profile.hmac.is_some() && !has_secrets && is_satisfied {
        table.error("secrets", "hmac needs at least one secret");
    }
    if profile.hmac.is_none() && has_secrets {
        table.error("secrets", "are for a profile with hmac");
    }
}

/// Refuses credentials in `Authorization` for a receiver that refuses that header.
fn check_authorization(profile: &Profile, proof: &Proof, table: &mut Reader<'_>) {
    let key = match proof {
        Proof::None => return,
        Proof::Token(_) if profile.token_header != "authorization" => return,
        Proof::Token(_) => "token",
        Proof::Basic { .. } => "username",
        Proof::OAuth2(_) => "oauth2",
        Proof::Sigv4(_) => "sigv4",
    };
    if profile.no_authorization {
        let rule = format!(
            "must be left out for {}: the receiver's URL carries its own signature, and Azure refuses a request with an \
             Authorization header beside it. For a URL without one take the profile generic",
            profile.name
        );
        table.error(key, &rule);
    }
}

fn keys(kind: ProofKind) -> &'static str {
    match kind {
        ProofKind::Token => "token",
        ProofKind::Basic => "username and password",
        ProofKind::Oauth2 => "oauth2",
        ProofKind::Hmac => "secrets",
        ProofKind::Sigv4 => "sigv4",
    }
}

/// Reads how we authenticate ourselves; `None` if the configuration has a mistake there.
fn proof(table: &mut Reader<'_>, service: Option<&str>, ground: &Ground<'_>) -> Option<Proof> {
    let keys = ["token", "username", "password", "oauth2", "sigv4"].map(|key| table.has(key));
    let token = table.optional_secret("token");
    let username = table.optional_text("username");
    let password = table.optional_secret("password");
    let oauth2 = table.optional_table("oauth2", |table| oauth2(table, ground.allowed));
    let sigv4 = table.optional_table("sigv4", |table| sigv4(table, service, ground.aws));
    match keys {
        [false, false, false, false, false] => Some(Proof::None),
        [true, false, false, false, false] => {
            let token = token?;
            if http::HeaderValue::from_str(token.expose()).is_err() {
                table.error("token", "must hold visible characters only");
            }
            Some(Proof::Token(token))
        }
        [false, true, true, false, false] => {
            let username = username?;
            if username.contains(':') {
                table.error("username", "must hold no colon (RFC 7617 §2)");
            }
            let password = password?;
            Some(Proof::Basic { username, password })
        }
        [false, false, false, true, false] => oauth2.flatten().map(Proof::OAuth2),
        [false, false, false, false, true] => sigv4.flatten().map(Proof::Sigv4),
        _ => {
            table.error(
                "token",
                "either token, or username and password, or oauth2, or sigv4",
            );
            None
        }
    }
}

fn oauth2(table: &mut Reader<'_>, allowed: &Allowed) -> Option<OAuth2> {
    let token_url = table.endpoint("token_url", allowed);
    let client_id = table.text("client_id");
    let client_secret = table.secret("client_secret");
    let scope = table.optional_text("scope");
    let audience = table.optional_text("audience");
    let resource = table.optional_text("resource");
    let client_authentication = table.word(
        "client_authentication",
        ClientAuthentication::parse,
        ClientAuthentication::Post,
    );
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
        audience,
        resource,
        client_authentication,
    })
}

impl CallbackProfiles {
    /// Reports whether any profile of this client needs `signing_secrets`.
    pub(super) fn need_signing(&self) -> bool {
        let required = |profile: &CallbackProfile| profile.format.signature == Signature::Required;
        self.all.values().any(required)
    }

    /// Reports whether any profile of this client requires a handshake.
    pub(super) fn shake_hands(&self) -> bool {
        self.all.values().any(|profile| profile.handshake)
    }
}
