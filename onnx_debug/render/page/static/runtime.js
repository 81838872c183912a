// The registry that netron's modules are defined in; also the first part of the layout worker.
var __def, __req, __imp;
(() => {
    const bodies = new Map();
    const loaded = new Map();
    const plain = (id) => id.replace(/^\.\//, '').replace(/\.js$/, '');
    __def = (name, body) => bodies.set(name, body);
    __req = (id) => {
        const name = plain(id);
        if (!loaded.has(name)) {
            if (!bodies.has(name)) {
                throw new Error(`'${name}' is not part of this viewer.`);
            }
            const exports = {};
            loaded.set(name, exports);
            bodies.get(name)(exports, __req, __imp);
        }
        return loaded.get(name);
    };
    __imp = async (id) => __req(id);
})();
