// Server-sent events. A stream connects again after a lost connection, with longer
// and longer pauses. It disconnects while the page is hidden, because a browser
// has few connections for one host.

const retries = [500, 1000, 2000, 5000, 10000];

// Stream reads events from url(lastID). on maps names of events to handlers, which
// get the data and the event's id. state is called with "open" and "lost".
export class Stream {
  constructor(url, on, state = () => {}) {
    Object.assign(this, { url, on, state, lastID: "", failed: 0 });
    this.seen = () => (document.hidden ? this.rest() : this.connect());
    document.addEventListener("visibilitychange", this.seen);
    this.connect();
  }

  connect() {
    if (this.source || this.closed) return;
    clearTimeout(this.timer);
    const source = (this.source = new EventSource(this.url(this.lastID)));
    source.onopen = () => {
      this.failed = 0;
      this.state("open");
    };
    source.onerror = () => this.lost();
    for (const name in this.on) {
      source.addEventListener(name, (e) => {
        if (e.lastEventId) this.lastID = e.lastEventId;
        this.on[name](e.data, e.lastEventId);
      });
    }
  }

  lost() {
    this.rest();
    this.state("lost", this.failed);
    if (this.closed) return;
    this.timer = setTimeout(() => this.connect(), retries[Math.min(this.failed++, retries.length - 1)]);
  }

  rest() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  close() {
    this.closed = true;
    this.rest();
    document.removeEventListener("visibilitychange", this.seen);
  }
}

// throttled returns a function that calls f soon, and at most once every wait milliseconds.
export function throttled(f, wait = 700) {
  let timer, last = 0;
  const call = () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = null;
      last = Date.now();
      f();
    }, Math.max(30, last + wait - Date.now()));
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return call;
}
