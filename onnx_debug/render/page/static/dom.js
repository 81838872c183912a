// Elements without markup: every string is text.

/** `h('button.primary', {title, onclick}, 'Run', icon)` */
export function h(name, properties = {}, ...children) {
    const [tag, ...classes] = name.split('.');
    const element = document.createElement(tag);
    element.classList.add(...classes);
    for (const [key, value] of Object.entries(properties)) {
        if (value === undefined || value === null || value === false) {
            continue;
        }
        if (key.startsWith('on')) {
            element.addEventListener(key.slice(2), value);
        } else if (key === 'style' || key === 'dataset') {
            Object.entries(value).forEach(([name, item]) => (key === 'style' ? element.style.setProperty(name, item) : (element.dataset[name] = item)));
        } else {
            element.setAttribute(key, value === true ? '' : value);
        }
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

/** True when the notebook around is dark. */
export function isDark() {
    const { body, documentElement } = document;
    const jupyter = body.dataset.jpThemeLight;
    if (jupyter !== undefined) {
        return jupyter === 'false';
    }
    const code = body.dataset.vscodeThemeKind;
    if (code !== undefined) {
        return code.includes('dark') || code === 'vscode-high-contrast';
    }
    if (documentElement.getAttribute('theme')) {
        return documentElement.getAttribute('theme') === 'dark'; // Colab
    }
    return matchMedia('(prefers-color-scheme: dark)').matches;
}

/** Calls `react(dark)` now and on every change; returns a function that ends it. */
export function watchTheme(react) {
    let last = null;
    const look = () => {
        const dark = isDark();
        if (dark !== last) {
            last = dark;
            react(dark);
        }
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { attributes: true });
    observer.observe(document.documentElement, { attributes: true });
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', look);
    look();
    return () => {
        observer.disconnect();
        scheme.removeEventListener('change', look);
    };
}

/** 1234567 → "1.2 M" */
export function count(number) {
    const units = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
    const unit = units.find(([size]) => number >= size);
    return unit ? `${(number / unit[0]).toPrecision(2).replace(/\.0$/, '').replace('e+2', '00')} ${unit[1]}` : String(number);
}
