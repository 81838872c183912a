// Inside the frame: what is done to the picture that netron has drawn. Read before boot.js, in the same scope.

// Netron follows the system's colour scheme; here the notebook's theme decides.
function applyTheme(sheets, dark) {
    const { classList, style } = document.documentElement;
    classList.toggle('od-dark', dark);
    style.colorScheme = dark ? 'dark' : 'light'; // where it differs from the page around, browsers paint an opaque canvas
    for (const sheet of sheets) {
        for (const rule of sheet.cssRules) {
            const byScheme = rule instanceof CSSMediaRule && (rule.odScheme || rule.media.mediaText.includes('prefers-color-scheme'));
            if (byScheme) {
                rule.odScheme = true;
                rule.media.mediaText = dark ? 'all' : 'not all';
            }
        }
    }
}

function applyOptions(view, options) {
    for (const name of ['names', 'attributes', 'weights', 'direction', 'mousewheel']) {
        if (options[name] !== undefined && view.options[name] !== options[name]) {
            view.toggle(name);
        }
    }
}

function paint(marks) {
    for (const element of document.querySelectorAll('g.od-mark')) {
        element.classList.remove('od-mark');
        element.style.removeProperty('--od-mark');
    }
    for (const [name, colour] of Object.entries(marks)) {
        const element = document.getElementById(`node-name-${name}`);
        if (element) {
            element.classList.add('od-mark');
            element.style.setProperty('--od-mark', colour);
            element.style.setProperty('--od-mark-text', isPale(colour) ? '#1f2328' : '#fff');
        }
    }
}

/** True for a `#rrggbb` on which white text is hard to read. */
function isPale(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return 0.299 * red + 0.587 * green + 0.114 * blue > 125;
}

function select(view, names) {
    const graph = view.target;
    if (!graph || !graph.select) {
        return;
    }
    const wanted = new Set(names);
    const nodes = wanted.size ? view.activeTarget.nodes.filter((node) => wanted.has(node.name)) : [];
    // An open side bar must follow the selection; netron does both at once for a single node.
    const open = document.getElementById('sidebar').style.opacity === '1';
    const elements = nodes.length === 1 && open ? graph.activate(nodes[0], 'panel') : graph.select(nodes.length ? nodes : null);
    if (elements && elements.length) {
        centre(elements);
    }
}

// Netron's own scrollTo stays where it is while the node is anywhere in sight.
function centre(elements) {
    const target = document.getElementById('target');
    const frame = target.getBoundingClientRect();
    const boxes = elements.filter((element) => element.closest('g.graph-node')).map((element) => element.getBoundingClientRect());
    const [first] = boxes;
    if (!first) {
        return;
    }
    const top = Math.min(...boxes.map((box) => box.top));
    const bottom = Math.max(...boxes.map((box) => box.bottom));
    const fits = bottom - top < frame.height * 0.9;
    const middle = fits ? (top + bottom) / 2 : first.top + frame.height * 0.35;
    target.scrollBy({
        left: first.left + first.width / 2 - (frame.left + frame.width / 2),
        top: middle - (frame.top + frame.height / 2),
        behavior: 'instant',
    });
}

function run(view, name) {
    const actions = {
        find: () => view.find(),
        zoomIn: () => view.zoomIn(),
        zoomOut: () => view.zoomOut(),
        zoomReset: () => view.resetZoom(),
    };
    if (Object.hasOwn(actions, name)) {
        actions[name]();
    }
}
