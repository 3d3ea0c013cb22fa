// Chat over Server-Sent Events. The stream is read with fetch, because EventSource can send no API key.
// Texts of others are put on the page as text only (textContent); the policy of the page forbids anything else.

const $ = (id) => document.getElementById(id);
const LONGEST_LIST = 500;
// The server sends a heartbeat every 30 s at the latest.
const SILENCE_MS = 45_000;
const TYPING_MS = 3_000;

let session = null;

class Refused extends Error {
  constructor(problem, wait) {
    const fields = (problem.errors ?? []).map(({ field, detail }) => `${field} ${detail}`);
    super(fields.length > 0 ? fields.join("; ") : problem.detail ?? `status ${problem.status}`);
    this.isFinal = problem.status >= 400 && problem.status < 500 && problem.status !== 429 && problem.status !== 408;
    this.wait = wait;
  }
}

async function ask(path, options = {}) {
  const { room, key } = session;
  const url = new URL(path, location.href);
  url.searchParams.set("room", room);
  for (const [name, value] of Object.entries(options.query ?? {})) url.searchParams.set(name, value);
  const headers = { ...options.headers };
  if (key) headers.authorization = `Bearer ${key}`;
  const response = await fetch(url, { cache: "no-store", ...options, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused({ status: response.status, ...problem }, 1000 * (response.headers.get("retry-after") ?? 0));
}

const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

// Reads the stream again and again, each time after the last event that was seen.
async function listen(mine) {
  let lastEventId = "";
  let retry = 1000;
  while (session === mine) {
    let wait = retry;
    try {
      const query = { userId: mine.userId, history: 50 };
      if (mine.filter) query.role = mine.filter;
      const headers = lastEventId ? { "last-event-id": lastEventId } : {};
      const response = await ask("api/chat/stream", { query, headers, signal: mine.stop.signal });
      say("Connected");
      for await (const event of events(response.body, mine)) {
        retry = event.retry ?? retry;
        lastEventId = event.id ?? lastEventId;
        if (session === mine && event.data) show(event.type, JSON.parse(event.data));
      }
      wait = retry;
    } catch (error) {
      if (session !== mine) return;
      if (error instanceof Refused) {
        complain(error.message);
        if (error.isFinal) return leave();
        wait = Math.max(error.wait, retry);
      }
    }
    if (session !== mine) return;
    say("Connection lost; trying again");
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

// The events of a stream, as the HTML standard reads them. An event without data only moves id and retry.
async function* events(body, mine) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = {};
  while (true) {
    const { value, done } = await inTime(reader);
    if (done || session !== mine) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (line === "") {
        yield event;
        event = {};
      } else if (field === "data") {
        event.data = event.data === undefined ? text : `${event.data}\n${text}`;
      } else if (field === "event") {
        event.type = text;
      } else if (field === "id") {
        event.id = text;
      } else if (field === "retry") {
        event.retry = Number(text);
      }
    }
  }
}

// A connection that is cut somewhere on its way stays silent for ever.
async function inTime(reader) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the stream is silent")), SILENCE_MS);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function show(type, data) {
  if (type === "chat-message") return showMessage(data);
  if (type === "typing") return showTyping(data);
  if (type === "gap" && data.reason === "trimmed") return note("Older messages are no longer kept.");
  if (type === "gap" && data.reason === "unreadable") return note("A message cannot be read.");
  if (type === "started-over") return note("The chat started over.");
}

function showMessage({ id, userId, userName, userRole, content, timestamp }) {
  const item = document.createElement("li");
  const time = element("time", "", new Date(timestamp).toLocaleTimeString());
  time.dateTime = timestamp;
  item.dataset.id = id;
  if (userRole === "admin") item.className = "admin";
  const head = element("div", "head", "");
  head.append(element("span", "who", userName), " ", element("span", "role", userRole), " ",
    element("span", "id", userId), " ", time);
  item.append(head, element("p", "text", content));
  append(item);
  $("typing").textContent = "";
}

function note(text) {
  append(element("li", "note", text));
}

function append(item) {
  const list = $("messages");
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.append(item);
  while (list.children.length > LONGEST_LIST) list.firstChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

let typingTimer;
function showTyping({ userName }) {
  $("typing").textContent = `${userName} is typing…`;
  clearTimeout(typingTimer);
  typingTimer = setTimeout(() => { $("typing").textContent = ""; }, TYPING_MS + 1000);
}

const say = (text) => { if ($("state").textContent !== text) $("state").textContent = text; };
const complain = (text) => { $("problem").textContent = text; };

function join(event) {
  event.preventDefault();
  const value = (id) => $(id).value.trim();
  session = {
    userName: value("name"), userId: value("user"), userRole: value("role"), room: value("room"),
    filter: value("filter"), key: value("key"), stop: new AbortController(), told: 0,
  };
  for (const id of ["name", "user", "role", "room"]) localStorage.setItem(`chat-${id}`, $(id).value);
  complain("");
  say("Connecting");
  $("room-title").textContent = `Room ${session.room}, as ${session.userName}`;
  $("messages").replaceChildren();
  $("join").hidden = true;
  $("chat").hidden = false;
  $("content").focus();
  listen(session);
}

function leave() {
  session?.stop.abort();
  session = null;
  $("chat").hidden = true;
  $("join").hidden = false;
  say("Not connected");
  $("name").focus();
}

async function send(event) {
  event?.preventDefault();
  const content = $("content").value;
  const mine = session;
  if (!mine || content.trim() === "") return;
  try {
    const { userId, userName, userRole } = mine;
    await post("api/chat/send", { userId, userName, userRole, content });
    if ($("content").value === content) $("content").value = "";
    complain("");
  } catch (error) {
    complain(error instanceof Refused ? error.message : "Not sent: the chat cannot be reached. Send it again.");
  }
}

function typed(event) {
  if (event.type === "keydown" && event.key === "Enter" && !event.shiftKey && !event.isComposing) return send(event);
  if (event.type !== "input" || !session || Date.now() - session.told < TYPING_MS) return;
  session.told = Date.now();
  const { userId, userName } = session;
  // It is no loss if the others do not see it.
  post("api/chat/typing", { userId, userName }).catch(() => {});
}

for (const id of ["name", "user", "role", "room"]) $(id).value = localStorage.getItem(`chat-${id}`) ?? $(id).value;
$("user").value ||= `user-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
$("join").addEventListener("submit", join);
$("leave").addEventListener("click", leave);
$("send").addEventListener("submit", send);
$("content").addEventListener("keydown", typed);
$("content").addEventListener("input", typed);
$("name").focus();
