import { upload } from "lfsproxy-client";

const { partition, offset } = await upload("http://localhost:8080", "demo-topic", { path: "large-file.bin" }, { key: "k" });
console.log(`published at ${partition}:${offset}`);
