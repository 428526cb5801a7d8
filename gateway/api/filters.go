package api

import "davit/gateway/edge"

// checkBearer is nil for a request with the token.
func checkBearer(r *edge.Request, check *tokenCheck) error {
	token, there := bearer(r)
	switch {
	case !there:
		return unauthorized("this asks for a token: send it as \"Authorization: Bearer …\"")
	case !check.opens(token):
		return unauthorized("the token in the Authorization header is not the right one")
	}
	return nil
}
