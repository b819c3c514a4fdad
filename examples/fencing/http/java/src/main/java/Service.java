// A report that only the leader of an election may write: Service JWKS_FILE HOST:PORT.

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.text.ParseException;
import java.util.Set;
import java.util.concurrent.Executors;

public final class Service {
    /** Checks exp as well. */
    private static final DefaultJWTClaimsVerifier<?> CLAIMS = new DefaultJWTClaimsVerifier<>(
            new JWTClaimsSet.Builder().issuer("leasehold").claim("election", "jobs/report").build(),
            Set.of("exp", "fence"));

    private final JWKSet keys;
    private long highest;
    private byte[] content = {};

    private Service(JWKSet keys) {
        this.keys = keys;
    }

    /** The fencing token that a task token vouches for. */
    private long fenceOf(String token) throws ParseException, JOSEException, BadJWTException {
        SignedJWT jwt = SignedJWT.parse(token);
        var key = keys.getKeyByKeyId(jwt.getHeader().getKeyID());
        if (key == null) {
            throw new JOSEException("there is no such key");
        }
        // This one knows EdDSA only, whatever the token says.
        if (!jwt.verify(new Ed25519Verifier(key.toOctetKeyPair()))) {
            throw new JOSEException("its signature is wrong");
        }
        CLAIMS.verify(jwt.getJWTClaimsSet(), null);
        return jwt.getJWTClaimsSet().getLongClaim("fence");
    }

    private void handle(HttpExchange exchange) throws IOException {
        if (!exchange.getRequestMethod().equals("PUT")) {
            answer(exchange, 200, current());
            return;
        }
        byte[] body = exchange.getRequestBody().readAllBytes();
        String authorization = exchange.getRequestHeaders().getFirst("Authorization");
        try {
            long fence = fenceOf(authorization == null ? "" : authorization.replaceFirst("^Bearer ", ""));
            String stale = write(fence, body);
            answer(exchange, stale == null ? 200 : 409, (stale == null ? "written\n" : stale).getBytes());
        } catch (ParseException | JOSEException | BadJWTException | IllegalArgumentException error) {
            answer(exchange, 401, ("not a leader's task token: " + error.getMessage() + "\n").getBytes());
        }
    }

    /** Writes, or says why not. */
    private synchronized String write(long fence, byte[] body) {
        if (fence < highest) {
            return "stale fencing token " + fence + ": " + highest + " has written\n";
        }
        highest = fence;
        content = body;
        return null;
    }

    private synchronized byte[] current() {
        return content;
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        try (exchange) {
            exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
        }
    }

    public static void main(String[] args) throws IOException, ParseException {
        // Seconds. Clocks differ. It isn't the time that keeps stale writers out.
        CLAIMS.setMaxClockSkew(10);
        var service = new Service(JWKSet.load(new File(args[0])));
        String[] address = args[1].split(":");
        var server = HttpServer.create(new InetSocketAddress(address[0], Integer.parseInt(address[1])), 0);
        server.createContext("/report", service::handle);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
        System.out.println("listening on " + address[0] + ":" + server.getAddress().getPort());
    }
}
