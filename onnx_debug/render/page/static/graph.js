// Netron in a sandboxed frame. `graph(host, handlers)` gives {open, update, command, dispose}.
// The frame has no access to this page: it is fed by messages, and what it says is checked like any stranger's word.

/** The frame's page: it loads the viewer as soon as it is given, and boots it with the first graph. */
const shell = (dark) => `<!DOCTYPE html><html style="color-scheme: ${dark ? 'dark' : 'light'}"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; font-src data:"></head>
<body class="welcome spinner"><script>
const unpack = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')));
let loaded = null;
async function load(bundle) {
    const content = await (await unpack(bundle)).json();
    for (const text of [content.runtime, ...Object.values(content.modules), content.boot]) {
        const script = document.createElement('script');
        script.textContent = text;
        document.head.appendChild(script);
    }
    return content;
}
addEventListener('message', async function first(event) {
    const message = event.data;
    if (event.source !== parent || !message || (message.od !== 'viewer' && message.od !== 'boot')) return;
    try {
        loaded = loaded || load(message.bundle);
        if (message.od === 'viewer') return;
        removeEventListener('message', first);
        message.model = new Uint8Array(await (await unpack(message.model)).arrayBuffer());
        message.docs = await (await unpack(message.docs)).text();
        await __boot(await loaded, message);
    } catch (error) {
        parent.postMessage({ od: 'error', message: String(error && error.message || error) }, '*');
    }
});
parent.postMessage({ od: 'shell' }, '*');
</script></body></html>`;

/**
 * @param {HTMLElement} host
 * @param {{click?: (name: string) => void, options?: (options: object) => void, status?: (status: string, detail: string) => void}} handlers
 */
export function graph(host, handlers = {}) {
    let payload = null; // what the frame shows: {bundle, model, docs, name}
    let spare = null; // the viewer for a frame that has nothing to show yet
    let waiting = false; // that frame is there, and waits for its first graph
    let ready = false;
    const state = { selected: [], marks: {}, dark: false, options: {} };
    const frame = document.createElement('iframe');
    frame.className = 'od-netron';
    frame.title = 'Graph of the exported model';
    frame.setAttribute('sandbox', 'allow-scripts allow-downloads allow-popups');

    const report = (status, detail = '') => {
        frame.dataset.status = status;
        if (handlers.status) {
            handlers.status(status, detail);
        }
    };
    const send = (message) => frame.contentWindow && frame.contentWindow.postMessage(message, '*');

    const answers = {
        // Also said when the notebook moved the output and the browser loaded the frame anew.
        shell() {
            ready = false;
            waiting = !payload;
            send(payload ? { od: 'boot', ...payload, state } : { od: 'viewer', bundle: spare });
        },
        ready() {
            ready = true;
            send({ od: 'state', state }); // whatever changed while it was loading
            report('ok');
        },
        click: (data) => handlers.click && handlers.click(String(data.name)),
        options(data) {
            state.options = data.options;
            if (handlers.options) {
                handlers.options(data.options);
            }
        },
        slow: () => report('slow'),
        error: (data) => report('error', String(data.message)),
    };
    const listen = (event) => {
        if (event.source === frame.contentWindow && event.data && Object.hasOwn(answers, event.data.od)) {
            answers[event.data.od](event.data);
        }
    };
    window.addEventListener('message', listen);

    function renew() {
        frame.srcdoc = shell(state.dark);
        if (frame.parentNode !== host) {
            host.appendChild(frame);
        }
    }

    return {
        frame,
        /** Load the viewer before there is a graph, so that the first one need not wait for it. */
        prepare(bundle) {
            if (!payload && !spare) {
                spare = bundle;
                frame.style.visibility = 'hidden';
                renew();
            }
        },
        open(next) {
            payload = next;
            ready = false;
            report('loading');
            frame.style.visibility = '';
            if (waiting && frame.parentNode === host) {
                waiting = false;
                send({ od: 'boot', ...payload, state });
            } else {
                renew();
            }
        },
        update(change) {
            Object.assign(state, change);
            if (ready) {
                send({ od: 'state', state: change });
            }
        },
        command(name) {
            frame.focus(); // a command is asked for by hand: what it opens may take the keyboard
            send({ od: 'command', name });
        },
        dispose() {
            window.removeEventListener('message', listen);
            frame.srcdoc = '';
            frame.remove();
        },
    };
}

/** The viewer's code, kept once for all views of a page. */
export const shelf = {
    get(key) {
        const kept = globalThis.__onnx_debug_netron;
        return kept && kept.key === key ? kept.bytes : null;
    },
    key: () => (globalThis.__onnx_debug_netron || {}).key || '',
    put(key, bytes) {
        globalThis.__onnx_debug_netron = { key, bytes };
    },
};

/** Base64 text, as a saved page carries it, to bytes. */
export function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
