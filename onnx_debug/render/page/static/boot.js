// Inside the sandboxed frame: starts netron with a host of our own, and obeys and informs the page outside by messages.
// In:  boot {name, model, docs, state}, state {selected, marks, dark, options}, command {name}.  Out: ready, click, options, slow, error.
// eslint-disable-next-line no-unused-vars
async function __boot(content, message) {
    const send = (od, data = {}) => parent.postMessage({ od, ...data }, '*');
    const fail = (error) => send('error', { message: String((error && error.message) || error) });
    addEventListener('error', (event) => fail(event.error || event.message));
    addEventListener('unhandledrejection', (event) => fail(event.reason));

    const allowFocus = keepFocusOutside();
    const sheets = content.styles.map(addStyle);
    // Netron's PNG and SVG export looks for its style sheet by address.
    Object.defineProperty(sheets[0], 'href', { value: 'inline:/grapher.css' });
    addMeta('type', 'Embedded');
    addMeta('version', content.version);
    document.title = message.name;
    document.body.innerHTML = content.body;

    const browser = __req('browser');
    const { View } = __req('view');
    const { BinaryStream } = __req('base');

    class Host extends browser.Host {
        constructor() {
            const original = window.eval;
            super();
            window.eval = original; // netron forbids eval, and with it every browser test
            // Any type but Browser and Python spares the prefetch of other formats; unpackaged, errors offer no report.
            Object.assign(this._environment, { type: 'Embedded', packaged: false, menu: true });
        }

        // The original checks the age of the release, asks for the country, for consent, and starts telemetry.
        async view(view) {
            this._view = view;
        }

        async start() {
            const file = {
                identifier: 'model.onnx',
                name: message.name,
                stream: new BinaryStream(message.model),
                asset: (name) => this.asset(name),
                request: (name) => this.asset(name),
                fetch: (name) => this.fetch(name),
                require: (id) => this.require(id),
                error: fail,
            };
            const model = await this._view.open(file);
            if (!model) {
                throw new Error('Netron could not open the graph.');
            }
            this._view.show(null);
        }

        async asset(name) {
            if (name !== 'onnx-metadata.json') {
                throw new Error(`'${name}' is not part of this viewer.`);
            }
            return message.docs;
        }

        async request(name) {
            return this.asset(name);
        }

        async fetch(name) {
            throw new Error(`'${name}' is outside this viewer.`);
        }

        async require(id) {
            return __req(id);
        }

        worker() {
            return new LayoutWorker(content);
        }

        get(name) {
            return name === 'options' ? message.state.options : undefined;
        }

        set(name, value) {
            if (name === 'options') {
                send('options', { options: value });
            }
        }

        delete(name) {
            this.set(name, {});
        }

        // A slow layout shows netron's own page with "Cancel"; the panel outside says it, and the layout goes on.
        async message(text, alert) {
            if (text && alert) {
                fail(text);
            } else if (text) {
                send('slow');
                return new Promise(() => {});
            }
            return 0;
        }

        openURL(url) {
            window.open(url, '_blank', 'noopener');
        }

        async execute(name) {
            if (name === 'about') {
                this._view.about();
            }
        }

        event() {}

        exception(error, fatal) {
            if (fatal) {
                fail(error);
            }
        }
    }

    const host = new Host();
    const view = new View(host);
    window.__view__ = view;
    const state = { selected: [], marks: {}, dark: false, options: {}, ...message.state };
    applyTheme(sheets, state.dark);
    await view.start();
    if (!view.activeTarget) {
        return; // netron has told why through `message`
    }

    const repaint = () => paint(state.marks);
    let waiting = 0;
    new MutationObserver(() => {
        // Toggled names, an expanded block and a pushed subgraph build the picture anew, without the marks.
        clearTimeout(waiting);
        waiting = setTimeout(repaint, 60);
    }).observe(document.getElementById('target'), { childList: true, subtree: true });
    document.addEventListener('click', (event) => {
        const node = event.target.closest && event.target.closest('g.graph-node');
        if (node && node.id.startsWith('node-name-')) {
            send('click', { name: node.id.slice('node-name-'.length) });
        }
    }, true);
    addEventListener('message', (event) => {
        if (event.source !== parent || !event.data) {
            return;
        }
        if (event.data.od === 'state') {
            const change = event.data.state;
            Object.assign(state, change);
            if ('dark' in change) {
                applyTheme(sheets, change.dark);
            }
            if ('marks' in change) {
                repaint();
            }
            if ('options' in change) {
                applyOptions(view, change.options);
            }
            if ('selected' in change) {
                select(view, change.selected);
            }
        } else if (event.data.od === 'command') {
            allowFocus();
            run(view, event.data.name);
        }
    });
    repaint();
    select(view, state.selected);
    send('ready', { nodes: view.activeTarget.nodes.length });
}

// Netron puts the focus into the graph when it is shown: whoever types in a cell meanwhile would lose keys. Returns a way to lift the ban.
function keepFocusOutside() {
    const { focus } = HTMLElement.prototype;
    let used = false;
    const allow = () => { used = true; };
    for (const type of ['pointerdown', 'keydown']) {
        addEventListener(type, allow, { capture: true, once: true });
    }
    HTMLElement.prototype.focus = function (...options) {
        if (used) {
            focus.apply(this, options);
        }
    };
    return allow;
}

// The layout worker, or the same work on this thread where the page's policy forbids workers.
class LayoutWorker extends EventTarget {
    constructor(content) {
        super();
        this._answered = false;
        const parts = ['dagre', 'worker'].map((name) => content.modules[name]);
        const url = URL.createObjectURL(new Blob([content.runtime, ...parts, "__req('worker');"], { type: 'text/javascript' }));
        try {
            this._worker = new Worker(url);
        } catch {
            return;
        }
        this._worker.addEventListener('message', (event) => this._answer(event.data));
        this._worker.addEventListener('error', () => {
            if (!this._answered) {
                this._worker = null; // a forbidden worker is an event, not an exception
                this._here();
            }
        });
    }

    postMessage(message) {
        this._message = message;
        if (this._worker) {
            this._worker.postMessage(message);
        } else {
            this._here();
        }
    }

    terminate() {
        if (this._worker) {
            this._worker.terminate();
        }
    }

    _answer(data) {
        this._answered = true;
        this.dispatchEvent(new MessageEvent('message', { data }));
    }

    _here() {
        const message = this._message;
        if (message) {
            __req('dagre').layout(message.nodes, message.edges, message.layout, message.state);
            setTimeout(() => this._answer(message));
        }
    }
}

function addStyle(text) {
    const element = document.createElement('style');
    element.textContent = text;
    document.head.appendChild(element);
    return element.sheet;
}

function addMeta(name, value) {
    const element = document.createElement('meta');
    element.name = name;
    element.content = value;
    document.head.appendChild(element);
}
