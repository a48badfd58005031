//! The page of the template, `infra/README.md`: its commands and its table of parameters.

use super::transformed::{names, short, template};
use crate::binaries::root;

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
    let rows = readme
        .lines()
        .skip_while(|line| !line.starts_with("| parameter |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
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
