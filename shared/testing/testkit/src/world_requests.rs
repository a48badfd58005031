//! Valid requests of a World's `tickets` client.

use serde_json::{Value, json};

use crate::tenants;
use crate::world::World;

impl World {
    pub fn callback(&self) -> Value {
        tenants::callback(&self.receiver)
    }

    pub fn export(&self, container: &str) -> Value {
        let mut body = tenants::export(
            &self.receiver,
            "6e7b768e-07e2-4810-8459-485f84f8f204",
            container,
        );
        body["reference"] = json!(format!("RITM-{container}"));
        body
    }

    pub fn goals(&self) -> Value {
        let view = "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e";
        tenants::goals(&self.receiver, "94a356ab-53d5-40e7-8a85-053d6d3b9eb3", view)
    }

    pub fn schedule(&self) -> Value {
        tenants::schedule(&self.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50")
    }
}

/// Returns a valid request for one of [`OPERATIONS`](crate::tenants::OPERATIONS).
pub fn body(world: &World, operation: &str) -> Value {
    match operation {
        "export" => world.export("dsar"),
        "goals" => world.goals(),
        _ => world.schedule(),
    }
}
