// Package token makes and checks the short-lived tokens with which browsers watch tasks. A token is read-only, and says
// what may be watched.
//
// Use [Parse] to read the secrets, [Ring.Mint] to make a token, and [Ring.Check] to check one.
//
// A token is a JWT, signed by HMAC-SHA256 and nothing else. Its header has alg, kid and typ and no other member; kid names
// the secret, of which there may be several, so that secrets can be changed without a moment in which tokens are refused.
//
// # Guarantees
//
//   - A token that was not made with one of the ring's secrets is refused, and so is one that has expired, that is for
//     another audience or of another issuer, or that was made to last longer than [MaxTTL].
//   - What a token allows cannot be widened: [Scope.Covers] answers for a task, and everything that the scope says must be true.
//
// # What is not promised
//
// A token works any number of times until it expires: a browser reconnects with it. It cannot be withdrawn before; who must
// do so takes its secret away.
package token
