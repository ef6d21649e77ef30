// Opens the link that this page was reached by, and lists what it shows. The secret stands behind # in the address,
// which browsers send to nobody; it goes out in the body of one request, and the token that comes back is kept in this
// page's memory, and in the addresses of its downloads, which a browser lists. It ends with the visit. Texts are set as
// texts: nothing that was stored becomes markup.
"use strict";

const ROWS = 50;
const form = document.getElementById("open");
const field = document.getElementById("passcode-field");
const passcode = document.getElementById("passcode");
const told = document.getElementById("told");
const button = form.querySelector("button");
const more = document.getElementById("more");
const rows = document.querySelector("#studies tbody");

const WORDS = {
  "passcode-required": "This link has a passcode.",
  "wrong-passcode": "The passcode is wrong.",
  "too-many-requests": "There were too many tries. Wait a quarter of an hour, then try again.",
  "link-not-found": "This link does not open anything, or no longer. Ask whoever sent it for a new one.",
};
const TROUBLE = "That did not work just now. Try again in a moment.";

let token = null;
let listed = 0;
let files = false;

function say(element, words) {
  element.textContent = words;
  element.hidden = words === "";
}

async function codeOf(response) {
  try {
    return String((await response.json()).type).split(":").pop();
  } catch {
    return "";
  }
}

form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const secret = location.hash.slice(1);
  if (secret === "") {
    say(told, "The address is not complete: it must have a # sign and what follows it.");
    return;
  }
  button.disabled = true;
  say(told, "");
  const body = new URLSearchParams({ secret });
  if (!field.hidden && passcode.value !== "") body.set("passcode", passcode.value);
  let response;
  try {
    response = await fetch(`/api/links/${form.dataset.link}/open`, {
      method: "POST", body, credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer",
    });
  } catch {
    say(told, TROUBLE);
    button.disabled = false;
    return;
  }
  button.disabled = false;
  if (response.ok) {
    passcode.value = "";
    await show(await response.json());
    return;
  }
  const code = await codeOf(response);
  if (code === "passcode-required" || code === "wrong-passcode") {
    const asked = !field.hidden;
    field.hidden = false;
    passcode.value = "";
    passcode.focus();
    if (!asked && code === "passcode-required") return;
  }
  say(told, WORDS[code] || TROUBLE);
});

async function show(visit) {
  token = visit.access_token;
  files = visit.download_permission;
  const api = form.dataset.api;
  document.title = `${visit.name} – KHEOPS`;
  const name = document.getElementById("name");
  name.textContent = visit.name;
  const end = new Date(Date.now() + visit.expires_in * 1000);
  document.getElementById("until").textContent =
    `Open until ${end.toISOString().slice(0, 16).replace("T", " ")} UTC; afterwards, open the link again.`;
  document.getElementById("address").textContent = `${api}/link/${token}`;
  document.getElementById("files-column").hidden = !files;
  document.getElementById("closed").hidden = true;
  document.getElementById("opened").hidden = false;
  name.focus();
  await list();
}

async function list() {
  const trouble = document.getElementById("trouble");
  say(trouble, "");
  more.disabled = true;
  let found, total;
  try {
    const response = await fetch(`/api/studies?limit=${ROWS}&offset=${listed}`, {
      headers: { Authorization: `Bearer ${token}`, Accept: "application/dicom+json" },
      credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer",
    });
    if (!response.ok) {
      say(trouble, response.status === 401 ? "The link has ended meanwhile." : TROUBLE);
      more.disabled = false;
      return;
    }
    total = Number(response.headers.get("X-Total-Count"));
    found = await response.json();
  } catch {
    say(trouble, TROUBLE);
    more.disabled = false;
    return;
  }
  more.disabled = false;
  for (const study of found) rows.append(row(study));
  listed += found.length;
  document.getElementById("count").textContent = total === 1 ? "1 study" : `${total} studies`;
  document.getElementById("nothing").hidden = listed !== 0;
  document.getElementById("studies").hidden = listed === 0;
  more.hidden = found.length === 0 || listed >= total;
  if (files && listed !== 0) {
    document.getElementById("download").hidden = false;
    document.getElementById("lines").textContent = lines();
  }
}

function values(study, tag) {
  const attribute = study[tag];
  return attribute && Array.isArray(attribute.Value) ? attribute.Value : [];
}

function first(study, tag) {
  const value = values(study, tag)[0];
  return value === undefined || value === null ? "" : String(value);
}

function personName(study) {
  const value = values(study, "00100010")[0] || {};
  const groups = [value.Alphabetic, value.Ideographic, value.Phonetic].filter(Boolean).map((group) => {
    const [family, given, middle, prefix, suffix] = [...group.split("^"), "", "", "", "", ""].map((part) => part.trim());
    const before = [prefix, given, middle].filter(Boolean).join(" ");
    return [family, before, suffix].filter(Boolean).join(", ");
  });
  return groups.length < 2 ? groups[0] || "" : `${groups[0]} (${groups.slice(1).join(", ")})`;
}

function cell(kind, label, text, aside, asideTag, kinds = "value") {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  if (label) made.dataset.label = label;
  const value = document.createElement("span");
  value.className = kinds;
  value.textContent = text;
  if (aside) {
    const small = document.createElement(asideTag);
    small.className = "aside";
    small.textContent = aside;
    value.append(" ", small);
  }
  made.append(value);
  return made;
}

function row(study) {
  const made = document.createElement("tr");
  made.dataset.study = first(study, "0020000D");
  const id = first(study, "00100020");
  const date = first(study, "00080020").replace(/^(\d{4})(\d{2})(\d{2})$/, "$1-$2-$3");
  const counts = [["Series", "00201206"], ["Instances", "00201208"]];
  made.append(
    cell("th", "", personName(study) || "No name", id && `ID ${id}`, "span"),
    cell("td", "Date", date || "–", "", "", "value nowrap"),
    cell("td", "Study", first(study, "00081030") || "No description", made.dataset.study, "code"),
    cell("td", "Modality", values(study, "00080061").join(", ") || "–"),
    ...counts.map(([label, tag]) => {
      const number = cell("td", label, first(study, tag));
      number.className = "number";
      return number;
    }),
  );
  if (files) made.append(archive(made.dataset.study));
  return made;
}

function archive(uid) {
  const made = cell("td", "Files", "");
  if (!/^[0-9.]+$/.test(uid)) return made;
  const link = document.createElement("a");
  link.href = `/api/link/${token}/studies/${uid}?accept=application/zip`;
  link.download = "";
  link.referrerPolicy = "no-referrer";
  link.textContent = "ZIP";
  link.setAttribute("aria-label", `Download study ${uid} as a ZIP archive`);
  made.firstChild.append(link);
  return made;
}

function lines() {
  const api = form.dataset.api;
  const uids = [...rows.children].map((each) => each.dataset.study).filter((uid) => /^[0-9.]+$/.test(uid));
  const commands = uids.map((uid, index) =>
    `curl -H "Authorization: Bearer $TOKEN" \\\n` +
    `  -H 'Accept: application/zip' \\\n` +
    `  -o study-${index + 1}.zip \\\n  '${api}/studies/${uid}'`);
  return [`TOKEN=${token}`, ...commands].join("\n\n");
}

more.addEventListener("click", list);
