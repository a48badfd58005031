//! The page of the template, `infra/README.md`: its commands and its table of parameters.

use std::process::Command;

use cloud_testkit::python;

use super::alarms::rows_below;
use super::transformed::{names, short, template};
use crate::binaries::root;

/// Prints each command and option of `aws` in the shell blocks of pages that AWS's own models of its services do not have, and
/// how many options they do have. Commands that the AWS CLI adds of its own have no model, and some options it renames.
const UNKNOWN_OPTIONS: &str = r"
import re, sys
import botocore.session
from botocore import xform_name
OF_THE_CLI = {'logs tail': {'since'}, 'sns subscribe': {'topic-arn', 'protocol', 'notification-endpoint'}}
session, known = botocore.session.get_session(), 0
pages = ''.join(open(page).read() for page in sys.argv[1:])
for block in re.findall(r'```sh\n(.*?)```', pages, re.DOTALL):
    for service, name, rest in re.findall(r'\baws (\w+) ([a-z-]+)([^;#\n]*)', block.replace('\\\n', ' ')):
        options = OF_THE_CLI.get(f'{service} {name}')
        if options is None:
            model = session.get_service_model(service)
            operations = {xform_name(operation, '-'): operation for operation in model.operation_names}
            if name not in operations:
                print(service, name)
                continue
            options = {xform_name(member, '-') for member in model.operation_model(operations[name]).input_shape.members}
        for option in re.findall(r'--([a-z-]+)', rest):
            if option.removeprefix('no-') in options | {'output', 'query'}:
                known += 1
            else:
                print(service, name, option)
print(known)
";

#[test]
fn the_commands_of_the_readme_are_commands_of_aws() {
    let bin = python::environment("sam", &root().join("infra/requirements/sam.txt"));
    let output = Command::new(bin.join("python3"))
        .args(["-c", UNKNOWN_OPTIONS])
        .arg(root().join("infra/README.md"))
        .arg(root().join("docs/event-senders.md"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let known: Result<usize, _> = said.trim().parse();
    assert!(known.is_ok_and(|known| known > 25), "{said}");
}

/// Each variable that a command reads is set from an output of the stack, in the same section of the page.
#[test]
fn the_commands_of_the_readme_use_outputs_of_the_template() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let outputs = names(&template()["Outputs"]);
    let mut commands = 0;
    for section in readme.split("\n## ") {
        let blocks = section.split("```sh\n").skip(1);
        let blocks = blocks.map(|block| block.split("```").next().unwrap());
        let mut set = vec!["KEY"];
        for line in blocks.flat_map(str::lines) {
            for output in line.split("$(output ").skip(1) {
                let output = output.split(')').next().unwrap();
                assert!(outputs.contains(&output), "no output {output}: {line}");
            }
            for rest in line.split("\"$").skip(1) {
                let end = rest.find(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
                let name = &rest[..end.unwrap_or(rest.len())];
                assert!(
                    name.is_empty() || set.contains(&name),
                    "nothing sets {name}"
                );
                commands += 1;
            }
            if let Some((name, _)) = line.split_once("=$(output ") {
                set.push(name);
            }
        }
    }
    assert!(commands >= 10, "{commands}");
    let redrive =
        "start-message-move-task --source-arn \"$DLQ_ARN\" --destination-arn \"$QUEUE_ARN\"";
    assert!(readme.contains(redrive));
}

#[test]
fn the_readme_of_the_template_has_every_parameter_with_its_default() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let rows = rows_below(&readme, "| parameter |");
    let mut told = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let words = |cell: &str| -> Vec<String> {
            let words = cell.trim_start_matches("| ").split(", ");
            words
                .map(|word| word.trim_matches('`').to_owned())
                .collect()
        };
        let (names, defaults) = (words(cells[0]), words(cells[1]));
        assert_eq!(names.len(), defaults.len(), "{row}");
        for (name, told_default) in names.into_iter().zip(defaults) {
            let default = &template()["Parameters"][&name]["Default"];
            let default = match short(default).as_str() {
                "" => "none".to_owned(),
                "null" => "required".to_owned(),
                text => text.to_owned(),
            };
            assert_eq!(told_default, default, "{name}");
            told.push(name);
        }
    }
    told.sort_unstable();
    assert_eq!(told, names(&template()["Parameters"]));
}
