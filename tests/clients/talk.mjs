// What the Node scripts of the conversation share: `script PORT FOLDER PASSWORD PACKAGE`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [, , port, folder, password, name] = process.argv;
const here = new URL(".", import.meta.url).pathname;

export const PORT = Number(port);
export const PASSWORD = password || undefined;
const SHAPES = { small: [2, 3], large: [1024, 512] };
export const library = await import(name);
export const { version } = JSON.parse(readFileSync(join(here, "node_modules", name, "package.json")));

// The words of a KV.PUT but for its partition.
export function row(key) {
  return [key, "FIELD", "x", "float32", ...SHAPES[key].map(String), "BLOB", readFileSync(join(folder, key))];
}

// A reply of KV.MGET with one field: leaves the data where the test looks for it, and gives the rest.
export function keep(key, [[field, dtype, shape, shapes, data]]) {
  writeFileSync(join(folder, `${key}.got`), data);
  return [String(field), String(dtype), shape.map(Number), shapes];
}

export const say = (saw) => console.log(JSON.stringify(saw));
