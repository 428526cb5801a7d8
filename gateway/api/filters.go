package api

// checkBearer is nil for a request with the token.
func checkBearer(r *request, check *tokenCheck) error {
	token, there := r.bearer()
	switch {
	case !there:
		return unauthorized("this asks for a token: send it as \"Authorization: Bearer …\"")
	case !check.opens(token):
		return unauthorized("the token in the Authorization header is not the right one")
	}
	return nil
}
