// What the Node scripts of the conversation share: `script PACKAGE PORT FOLDER PASSWORD`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [, , name, port, folder, password] = process.argv;

export const PORT = Number(port);
export const PASSWORD = password || undefined;
export const SHAPES = { small: [2, 3], large: [1024, 512] };
export const library = await import(name);
export const version = JSON.parse(readFileSync(join(new URL(".", import.meta.url).pathname, "node_modules", name, "package.json"))).version;

// The words of a KV.PUT but for its partition.
export const row = (key) => [key, "FIELD", "x", "float32", ...SHAPES[key].map(String), "BLOB", readFileSync(join(folder, key))];

// A reply of KV.MGET with one field: leaves the data where the test looks for it, and gives the rest.
export function keep(key, [[field, dtype, shape, shapes, data]]) {
  writeFileSync(join(folder, `${key}.got`), data);
  return [String(field), String(dtype), shape.map(Number), shapes];
}

export const say = (saw) => console.log(JSON.stringify(saw));
