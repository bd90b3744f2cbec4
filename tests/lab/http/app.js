// SPDX-License-Identifier: LGPL-2.1-or-later
// The Node server of the tests: /status/N answers N to every method, /sleep/MS late.
'use strict';
const http = require('http');

const handle = (request, response) => {
	const [, verb, value] = request.url.split('/');
	const answer = (status) => {
		response.writeHead(status);
		response.end(status === 204 || status === 304 ? undefined : 'as asked\n');
	};
	if (verb === 'sleep') {
		setTimeout(() => answer(200), Number(value));
	} else if (value === '413') {
		answer(413);
	} else {
		request.resume();
		request.on('end', () => answer(Number(value)));
	}
};
http.createServer(handle).listen(Number(process.argv[2]), '0.0.0.0');
http.createServer(handle).listen(Number(process.argv[2]) + 1, '::'); // where IPv4 comes mapped
