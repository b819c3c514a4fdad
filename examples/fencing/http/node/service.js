// A report that only the leader of an election may write: service.js JWKS_FILE HOST:PORT.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createLocalJWKSet, jwtVerify } from "jose";

const election = "jobs/report";
const options = {
  algorithms: ["EdDSA"],
  issuer: "leasehold",
  requiredClaims: ["exp", "election", "fence"],
  // Seconds. Clocks differ. It isn't the time that keeps stale writers out.
  clockTolerance: 10,
};
const keys = createLocalJWKSet(JSON.parse(readFileSync(process.argv[2], "utf8")));
let highest = 0;
let content = Buffer.alloc(0);

// The fencing token that a task token vouches for.
async function fenceOf(token) {
  const { payload } = await jwtVerify(token, keys, options);
  if (payload.election !== election) throw new Error(`it is for ${payload.election}`);
  return payload.fence;
}

async function put(request) {
  const body = Buffer.concat(await request.toArray());
  let fence;
  try {
    fence = await fenceOf((request.headers.authorization ?? "").replace(/^Bearer /, ""));
  } catch (error) {
    return [401, `not a leader's task token: ${error.message}\n`];
  }
  // From here on nothing waits, so no other request comes between.
  if (fence < highest) return [409, `stale fencing token ${fence}: ${highest} has written\n`];
  highest = fence;
  content = body;
  return [200, "written\n"];
}

const server = createServer(async (request, response) => {
  const [status, body] = request.method === "PUT" ? await put(request) : [200, content];
  response.writeHead(status).end(body);
});
const [host, port] = process.argv[3].split(":");
server.listen(Number(port), host, () => console.log(`listening on ${host}:${server.address().port}`));
