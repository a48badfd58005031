//! Secret values, which can be neither printed nor serialised by accident, and references to where they are stored.

use std::fmt;

/// A secret text. `Debug` prints a placeholder; there is no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself. Every caller is a place where it may leak, so there should be few.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// The place where a secret is stored: `env:NAME`, `file:PATH` or `aws-secret:ARN[#key]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    Env(String),
    File(String),
    AwsSecret { arn: String, key: Option<String> },
}

impl SecretReference {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        match (kind, name) {
            (_, "") => Err(Self::RULE.to_owned()),
            ("env", name) => Ok(Self::Env(name.to_owned())),
            ("file", path) => Ok(Self::File(path.to_owned())),
            ("aws-secret", name) => {
                let (arn, key) = match name.split_once('#') {
                    Some((arn, key)) => (arn, Some(key.to_owned())),
                    None => (name, None),
                };
                Ok(Self::AwsSecret {
                    arn: arn.to_owned(),
                    key,
                })
            }
            _ => Err(Self::RULE.to_owned()),
        }
    }

    const RULE: &str = "must be a reference: env:NAME, file:PATH or aws-secret:ARN[#key]";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_contain_the_secret() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("canary"))),
            "Some([secret])"
        );
    }

    #[test]
    fn reference_names_a_variable_a_file_or_an_aws_secret() {
        let aws = |arn: &str, key: Option<&str>| SecretReference::AwsSecret {
            arn: arn.to_owned(),
            key: key.map(str::to_owned),
        };
        for (text, expected) in [
            ("env:NAME", SecretReference::Env("NAME".to_owned())),
            ("file:/a:b", SecretReference::File("/a:b".to_owned())),
            ("aws-secret:arn:aws:x", aws("arn:aws:x", None)),
            ("aws-secret:arn:aws:x#k#l", aws("arn:aws:x", Some("k#l"))),
        ] {
            assert_eq!(SecretReference::parse(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "canary",
            "env:",
            "file:",
            "aws-secret:",
            "ENV:x",
            ":x",
            "x:y",
        ] {
            let rule = SecretReference::parse(bad).unwrap_err();
            assert_eq!(rule, SecretReference::RULE, "{bad}");
        }
    }
}
