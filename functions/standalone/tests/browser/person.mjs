// Works with the console as a person does, and writes what was done and what was wrong as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const input = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(process.cwd() + "/");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const console_ = input.origin + "/console";
const faults = [];
const done = [];

function must(holds, what) {
  (holds ? done : faults).push(what);
}

const browser = await chromium.launch({
  executablePath: input.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"],
});

// Opens a page whose console, script errors and broken policy are faults.
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(5000);
  page.on("pageerror", error => faults.push("script: " + error.message));
  page.on("console", message => {
    // A page that is answered with 4xx is what some steps want to see.
    if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) {
      faults.push("console: " + message.text());
    }
  });
  return page;
}

async function logIn(page, key) {
  await page.goto(console_);
  await page.fill("#key", key);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#content h1:has-text('Operations')");
}

async function judge(page, name) {
  await page.evaluate(axe + ";0");
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations) {
    if (impact === "serious" || impact === "critical") {
      faults.push(`axe on ${name}: ${id} (${impact}) ${nodes.slice(0, 3).map(node => node.html + " " + node.failureSummary).join(" | ")}`);
    }
  }
  const { scrolls, width } = await page.evaluate(() => ({
    scrolls: document.documentElement.scrollWidth, width: document.documentElement.clientWidth }));
  must(scrolls <= width, `${name} fits into ${width} px, and is ${scrolls} px wide`);
}

async function picture(page, name) {
  await page.screenshot({ path: `${input.pictures}/${name}.png`, fullPage: true });
}

async function person() {
  const page = await open({});
  await page.goto(input.origin + "/");
  await judge(page, "login");
  await picture(page, "login");
  await page.fill("#key", "nobody's");
  await page.click("button");
  must((await page.textContent("[role=alert]")).includes("opens nothing"), "a wrong key opens nothing");
  await logIn(page, input.operator);
  const [cookie] = await page.context().cookies();
  must(cookie.httpOnly && cookie.sameSite === "Strict", "the key is in a cookie that scripts cannot read");

  await page.goto(console_ + "?status=");
  await judge(page, "list");
  for (const width of [1280, 768, 390]) {
    await page.setViewportSize({ width, height: 800 });
    await judge(page, "list at " + width);
    await picture(page, "list-" + width);
  }
  must(await page.locator("td b").count() === 0, "markup of a reference is text");
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(console_ + "?status=open&sort=deadline");
  must((await page.textContent("tbody tr:first-child")).includes("at risk"), "what is at risk comes first");

  // Somebody who looks after the legal due dates, with and without seeing colours.
  await page.goto(console_);
  await page.click("a:has-text('Due by law')");
  const due = await page.locator("td[data-label='Due by law']").allTextContents();
  must(due.length === 2 && /overdue by \d+ days$/.test(due[0]) && /at risk: \d days? left$/.test(due[1]),
    "the legal due dates that pressed are said in words: " + JSON.stringify(due));
  await page.click("summary");
  await page.selectOption("#due", "past");
  await page.click("form button.primary");
  must((await page.locator("tbody a").allTextContents()).join() === "DSAR-2026-013", "what is overdue by law is found");
  await judge(page, "due by law");
  await page.click("tbody a");
  must(/Due by law .*overdue by \d+ days/.test(await page.textContent("article > p:not(.under)")), "an operation says it at its top");
  await judge(page, "operation that is overdue by law");
  await picture(page, "due");
  await page.goto(console_ + "?status=failed&callback=undeliverable");
  await judge(page, "empty list");
  await picture(page, "empty");

  // The list follows what happens, and the focus stays.
  await page.goto(console_ + "?status=open&sort=deadline");
  const link = page.locator("tbody a").first();
  const id = await link.getAttribute("id");
  await link.focus();
  const sent = await fetch(input.origin + "/v1/operations?client=tickets", {
    method: "POST",
    headers: { "x-api-key": input.operator, "content-type": "application/json" },
    body: JSON.stringify({ operation: "goals.exportJob", reference: "RITM0041014", parameters: {
      goalsOrganizationId: "94a356ab-53d5-40e7-8a85-053d6d3b9eb3", explorerViewId: "e5e7a3c1-8cdf-409d-9ce9-000000000099" } }),
  });
  must(sent.status === 202, "another program asks meanwhile");
  await page.waitForSelector("a:has-text('RITM0041014')", { timeout: 9000 });
  must(await page.evaluate(() => document.activeElement.id) === id, "the focus stays when the list is renewed");
  must((await page.textContent("#news")).includes("changed"), "a screen reader is told that something changed");

  await page.keyboard.press("Enter");
  await page.waitForSelector("#what-happened");
  await judge(page, "operation");
  await picture(page, "operation-risk");
  await page.click("#act-cancel");
  await judge(page, "confirmation");
  await picture(page, "cancel");
  await page.click("button.danger");
  must((await page.textContent(".notice")).includes("cancelled"), "the operation is cancelled");
  must((await page.textContent(".timeline")).includes("by operator night-shift"), "the history says by whom");

  await page.goto(console_ + "?callback=undeliverable");
  await page.click("tbody a");
  await page.click("#act-retarget");
  await page.fill("[name='/url']", input.receiver);
  await page.click("button.primary");
  await judge(page, "preview of a receiver");
  await picture(page, "retarget");
  await page.goto(console_ + "/redeliver?callback=undeliverable");
  must((await page.textContent("#preview")).includes("1 completion"), "what would be delivered is counted");
  await judge(page, "deliver again");
  await picture(page, "redeliver");
  await page.click("button.danger");
  must((await page.textContent(".notice")).includes("1 completion is being delivered"), "it is delivered again");

  await page.goto(console_ + "?status=unknown");
  await page.click("tbody a");
  await judge(page, "unknown outcome");
  await picture(page, "unknown");

  await page.goto(console_ + "/new");
  await judge(page, "choice of a request");
  await picture(page, "choices");
  await page.click("a:has-text('Shifts')");
  await page.selectOption("[name='client']", "tickets");
  await page.fill("[name='/parameters/teamId']", "not a guid");
  await page.selectOption("[name='/parameters/schedule/enabled']", "true");
  await page.fill("[name='/parameters/schedule/timeZone']", "Europe/Berlin");
  await page.click("button.primary");
  must((await page.textContent("#parameters-teamId-wrong")).includes("GUID"), "an error stands at its field");
  await judge(page, "new request");
  await picture(page, "new");
  await page.fill("[name='/parameters/teamId']", "871dbd5c-3a6a-4392-bfe1-000000000077");
  await page.fill("[name='/reference']", "RITM0041015");
  await page.click("button.primary");
  must((await page.textContent(".notice")).includes("accepted"), "the request is accepted");

  await page.goto(console_ + "/test");
  await page.selectOption("[name='client']", "tickets");
  await page.fill("[name='/url']", input.receiver);
  await page.selectOption("[name='/outcome']", "failed");
  await page.click("button.primary");
  must((await page.textContent(".notice")).includes("The receiver took it."), "a receiver is tested");
  await judge(page, "test of a receiver");
  await picture(page, "test");

  const missing = await page.goto(console_ + "/operations/op_00000000000000000000000000000000");
  must(missing.status() === 404, "what is missing is 404");
  await judge(page, "404");
  await picture(page, "missing");
  await page.click("button:has-text('Log out')");
  await page.goto(console_ + "/new");
  must(await page.locator("#key").count() === 1 && await page.locator("nav").count() === 0, "after the logout only the login is left");
}

async function inTheDark() {
  const page = await open({ colorScheme: "dark" });
  await logIn(page, input.operator);
  await page.goto(console_ + "?status=");
  await judge(page, "list in the dark");
  await picture(page, "list-dark");
  await page.goto(console_ + "?reference=RITM0041013");
  await page.click("tbody a");
  await judge(page, "operation in the dark");
  await picture(page, "operation-dark");
  await page.setViewportSize({ width: 390, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
  await judge(page, "operation on a phone");
  await picture(page, "operation-390");
  await page.setViewportSize({ width: 1280, height: 800 });
  await picture(page, "operation");
}

async function withoutScripts() {
  const page = await open({ javaScriptEnabled: false });
  await page.goto(console_);
  await page.fill("#key", input.auditor);
  await page.click("button");
  must(await page.locator("tbody tr").count() > 2, "without scripts the list is there");
  must(await page.locator("#refresh").count() === 1, "without scripts there is a link to refresh");
  await page.click("tbody a");
  must(await page.locator(".acts").count() === 0, "whoever only reads sees no buttons");
}

for (const part of [person, inTheDark, withoutScripts]) {
  try {
    await part();
  } catch (error) {
    faults.push(`${part.name}: ${error.stack}`);
  }
}
await browser.close();
process.stdout.write(JSON.stringify({ done, faults }));
